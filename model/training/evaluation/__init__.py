"""Measures an artifact with the decoder, recipe and engine of the worker."""
