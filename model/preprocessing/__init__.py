"""From pixels to the array that a model takes."""
