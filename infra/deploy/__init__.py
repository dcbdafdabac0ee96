"""Deployment: `make deploy`, `make rollback` and `make destroy`, and the smoke test."""
