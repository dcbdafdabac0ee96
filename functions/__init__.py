"""What runs in the cloud: doors, the request path, the worker. Imports model, never client."""
