"""What runs in the peers' environments: each framework as its documentation has it, around the same model."""
