"""What was found: one line each, with the command that mends it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What is so about one thing. `mend`: a line for a shell, empty where nothing is to be done."""

    level: Level
    what: str
    said: str
    mend: str = ""


def ok(what: str, said: str) -> Finding:
    """As it should be."""
    return Finding("ok", what, said)


def warn(what: str, said: str, mend: str) -> Finding:
    """It may be meant so, or nobody could look."""
    return Finding("warn", what, said, mend)


def fail(what: str, said: str, mend: str) -> Finding:
    """Images, answers or dead letters are lost or stay away."""
    return Finding("fail", what, said, mend)
