"""The command line program `predictions`."""
