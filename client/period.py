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
