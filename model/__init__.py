"""Image classification: artifacts, engines, preprocessing, training. It imports no other package of this project."""
