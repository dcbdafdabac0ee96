"""What became of images that were sent."""
