"""What came of the images: matching of responses to requests, tables and JSON lines, explanation files."""
