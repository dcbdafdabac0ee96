"""The ways in which requests reach the worker."""
