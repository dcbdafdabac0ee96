"""The local twin and the deployment checks."""
