"""What runs in the cloud: entry points, the request path, the worker. Imports model, never client."""
