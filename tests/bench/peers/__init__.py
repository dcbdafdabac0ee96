"""Our worker compared with other model servers: `make bench-peers` runs each in its own environment, in turns."""
