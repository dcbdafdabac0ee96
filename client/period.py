"""Periods as a command line states them."""

from __future__ import annotations

import re
from datetime import timedelta

_PERIOD = re.compile(r"([0-9]{1,6})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def period(text: str) -> timedelta | None:
    """Read a whole number and its unit, such as 90s, 30m, 12h or 7d; None for any other text."""
    found = _PERIOD.fullmatch(text)
    return timedelta(seconds=int(found[1]) * _SECONDS[found[2]]) if found else None


def duration(seconds: float) -> str:
    """Return seconds in two units at most: 9 s, 4 min 10 s, 3 h 20 min, 2 d 4 h."""
    whole = max(0, round(seconds))
    for name, size, smaller, part in (("d", 86_400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {name}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"
