"""Training on a user's own labelled images, from a pretrained network."""
