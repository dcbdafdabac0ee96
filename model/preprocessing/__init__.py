"""Preprocessing: turns decoded pixels into the array that a model takes."""
