"""Runs a command that ends with its parent: `python die_with_parent.py PARENT COMMAND...` (outside Linux it just runs).

A separate script, because code between fork and exec in a process with threads may deadlock.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    parent, *command = sys.argv[1:]
    if os.getppid() != int(parent):
        sys.exit("the parent process ended during the start")
    os.execvp(command[0], command)  # nosec B606  # the twin's own command, without a shell
