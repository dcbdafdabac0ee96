"""Faults on purpose: every accepted request still ends, and the counts are printed (`make fault N=10000`)."""
