"""Requests and responses: what they hold, and how they are read and written. Shared with the client."""
