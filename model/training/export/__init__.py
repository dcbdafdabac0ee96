"""Exports a trained network as an artifact."""
