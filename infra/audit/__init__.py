"""`make audit`: looks up known vulnerabilities of the worker's locked dependencies."""
