"""Types of arguments of the twin's command line: each returns the value, or raises argparse's error for a wrong one."""

from __future__ import annotations

import argparse
from pathlib import Path

from infra.local.ports import own_address


def folder(text: str) -> Path:
    """Read the path of a folder that exists."""
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"it is {text!r}; it must be a folder")
    return Path(text)


def place(text: str) -> str:
    """Read gs://bucket/prefix, or a folder."""
    if text and not text.startswith("gs://") and not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"it is {text!r}; it must be a folder or gs://bucket/prefix")
    return text if not text or text.startswith("gs://") else str(Path(text).resolve())


def host(text: str) -> str:
    """Read an address of this machine."""
    try:
        return own_address(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc


def absolute(place: str) -> str:
    """A registry's address for the worker, which runs in another folder."""
    return place if not place or "://" in place else str(Path(place).absolute())
