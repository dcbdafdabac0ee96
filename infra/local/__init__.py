"""The local twin: the cloud's topics, subscriptions and buckets, and the worker, on one machine's loopback."""
