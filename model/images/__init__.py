"""Decodes image files to pixels, within limits on size, memory and time."""
