"""The number of a row in an address and in a body."""

from __future__ import annotations

from starlette.convertors import IntegerConvertor, register_url_convertor

_DIGITS = 12
"""Digits of the largest number: SQLite and Python's `int` refuse much longer ones."""


class RowNumber(IntegerConvertor):
    """Matches {NAME:row} in the path of a route."""

    regex = f"[0-9]{{1,{_DIGITS}}}"


register_url_convertor("row", RowNumber())


def is_row_number(value: object) -> bool:
    """Whether a value of JSON may be the number of a row."""
    return type(value) is int and 0 < value < 10**_DIGITS
