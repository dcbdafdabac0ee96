"""Imports twenty models of several tools, and compares what is served with the tool's own scores."""
