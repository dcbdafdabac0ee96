"""`make audit`: looks up known vulnerabilities of the locked packages of the worker and the page."""
