"""Retraining: one request from its data in a bucket to a version in the registry, in a process of its own."""
