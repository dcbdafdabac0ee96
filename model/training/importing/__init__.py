"""Imports model files and known architectures as artifacts."""
