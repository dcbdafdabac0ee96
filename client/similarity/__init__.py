"""Similar images: an index of the features of images in one file, and the search in it."""
