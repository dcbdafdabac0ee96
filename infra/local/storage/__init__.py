"""A small Cloud Storage server: the JSON API and the commonly used part of the XML API, on SQLite and files."""
