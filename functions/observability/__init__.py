"""Log lines, counts and spans of the worker's requests."""
