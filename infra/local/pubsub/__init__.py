"""A small Pub/Sub server in Python: google.pubsub.v1 over gRPC, for development and tests, never for production."""
