"""Our worker beside what others would use: `make bench-peers` runs each in an environment of its own, in turns."""
