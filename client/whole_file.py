"""Writes a file whole: a kill leaves no half of it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MAX_NAME = 50
"""Characters of the file's name in the new file's name: most file systems allow 255 bytes."""


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield the path of a new file in the same folder, which gets the name `path` when the block ends. Raises OSError.

    Nothing is written through a link or a pipe that has the name `path`. Processes that write the same file at the same
    time write new files of their own, and the last one to end replaces the others' file.
    """
    part = path.with_name(f".{path.name[:_MAX_NAME]}.{secrets.token_hex(4)}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
