"""What the worker says of its requests: log lines, counts and spans."""
