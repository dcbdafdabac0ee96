"""Measures what the engines' libraries offer besides what the worker uses of them."""
