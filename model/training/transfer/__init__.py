"""Transfer learning: trains a pretrained network on a user's own labelled images."""
