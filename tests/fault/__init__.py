"""Faults on purpose: every accepted request still ends, and the counts are printed."""
