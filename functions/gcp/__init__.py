"""Google's clients: Pub/Sub, Cloud Storage, and the tokens of pushes."""
