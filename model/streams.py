"""The standard streams of a command line program: closed ones, and readers that leave early. Standard library only."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress


def run(main: Callable[[], int]) -> int:
    """Run a program's `main` and return its exit code, or 1 when the reader of its output has left (`| head`)."""
    try:
        code = main()
        sys.stdout.flush()  # here and not at exit, where a closed pipe is a traceback
    except BrokenPipeError:
        discard()
        return 1
    return code


def discard() -> None:
    """Discard all further output, also what is still buffered: the pipe that it goes to is closed."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def open_closed() -> None:
    """Open what the caller has closed (`>&-`), so that no file or connection gets its number and the output."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))
