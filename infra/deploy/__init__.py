"""Into a project and out of it: what `make deploy`, `make rollback` and `make destroy` run, and the smoke test."""
