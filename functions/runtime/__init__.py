"""How the process runs: its threads, processes, memory and health."""
