"""Reads, verifies and loads an artifact: the folder with an exported model."""
