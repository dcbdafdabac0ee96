"""How good an artifact is, measured through the serving path."""
