"""Publishes the images of a folder as they appear, and moves those that are answered."""
