"""Benchmarks of speed and memory: `make bench` measures, writes JSON and prints a table. They are no tests."""
