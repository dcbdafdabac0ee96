"""Readers of image datasets and their labels."""
