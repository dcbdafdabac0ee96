"""The types, the JSON and the decoding of requests and responses. The client uses this package too."""
