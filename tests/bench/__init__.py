"""Speed and memory: `make bench` measures side by side, writes JSON and prints a table. Never timed tests."""
