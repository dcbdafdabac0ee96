"""Kafka: what the worker and the client need to take requests from it and to publish to it."""
