"""The kill test: `make fault N=10000`, or `python -m tests.fault`; in pytest short runs, and tests of its verdicts."""
