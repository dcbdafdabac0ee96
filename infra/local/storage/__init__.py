"""A small Cloud Storage server: the JSON API and what clients use of the XML API, in SQLite and files."""
