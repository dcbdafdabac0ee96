"""The names of the processes that hold jobs."""

from __future__ import annotations

import os
import socket
import sys

HELD_S = 10.0
"""Seconds for which a command holds a job. It renews this; after its end another command may go on."""


def this_process() -> str:
    """Return the name of this process: its machine and its number."""
    return f"{socket.gethostname()} {os.getpid()}"


def has_ended(holder: str) -> bool:
    """Return whether a holder is a process of this machine that has ended."""
    host, _, pid = holder.rpartition(" ")
    if host != socket.gethostname() or sys.platform == "win32":  # there, os.kill would end the process
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError, OverflowError):
        return False
    return False
