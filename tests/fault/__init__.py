"""The kill test: `python -m tests.fault` (or `make fault N=10000`); in pytest a short run, and tests of its verdicts."""
