"""The ways to send images and to receive responses."""
