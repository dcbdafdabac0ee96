"""The local twin: the cloud's topics, subscriptions, buckets and the worker on this machine."""
