"""Sets the instance count of a worker pool, which does not scale by itself, from its backlog and its measured rate."""
