"""The code that runs in the cloud: entry points, the request path and the worker. Imports model, never client."""
