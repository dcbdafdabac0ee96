"""What runs at a person's desk: the command line and, later, the web page."""
