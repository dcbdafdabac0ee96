"""Runtimes that score batches of images."""
