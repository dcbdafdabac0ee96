"""The job store: which images a command sends, and what became of each, in an SQLite file that outlives the command."""
