"""From a trained network to an artifact."""
