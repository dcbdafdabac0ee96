"""Fault injection: every accepted request still gets a response, and the counts are printed (`make fault N=10000`)."""
