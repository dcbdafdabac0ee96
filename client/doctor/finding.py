"""The result of a check: one line each, with the command that fixes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found about its subject. `fix` is a shell command, empty where nothing needs to be done."""

    level: Level
    subject: str
    message: str
    fix: str = ""


def ok(subject: str, message: str) -> Finding:
    """The subject is as it should be."""
    return Finding("ok", subject, message)


def warn(subject: str, message: str, fix: str) -> Finding:
    """The subject may be intended this way, or it could not be checked."""
    return Finding("warn", subject, message, fix)


def fail(subject: str, message: str, fix: str) -> Finding:
    """Images, responses or dead letters are lost or delayed."""
    return Finding("fail", subject, message, fix)
