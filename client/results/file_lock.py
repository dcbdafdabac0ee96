"""The lock of a results file that a command writes: a second command is refused at once, readers are not blocked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from client.gcp import UsageError
from client.text import plain, printable

try:
    import fcntl
except ImportError:  # Windows, whose locks would block readers
    fcntl = None  # type: ignore[assignment]


def lock(file: BinaryIO, path: Path, warn: Callable[[str], None]) -> None:
    """Lock an open file until it is closed or the process ends. Raises UsageError when another command has the lock.

    Where the file system or the system has no such locks, the file is not locked; the former gives a warning.
    """
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(
            f"another command is writing {printable(str(path))}; wait for its end, or choose another name"
        ) from None
    except OSError as exc:
        warn(f"{printable(str(path))} cannot be locked ({plain(exc)}); no other command may write it at the same time")
