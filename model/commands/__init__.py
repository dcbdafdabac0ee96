"""The commands of `predictions model` for a registry. They need no TensorFlow."""
