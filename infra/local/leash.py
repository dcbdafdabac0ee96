"""Run a command that does not outlive its parent: `python leash.py PARENT COMMAND…`. Without Linux it merely runs.

A script of its own, since code that runs between fork and exec in a process with threads may hang.
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
        sys.exit("its parent ended before it was on the leash")
    os.execvp(command[0], command)  # nosec B606  # what the twin starts, no shell
