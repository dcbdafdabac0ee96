"""Hides what libraries write to stderr, so that a command shows only the project's own lines."""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# An environment variable that TensorFlow reads. A user who sets it wants to see TensorFlow's log.
LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Hide log lines and warnings of libraries while the block runs, unless TF_CPP_MIN_LOG_LEVEL is set.

    Native code writes to file descriptor 2 itself, which leads to a temporary file meanwhile; sys.stderr still leads to
    the user. A crash of native code still prints Python's stack.
    """
    if LOG_LEVEL in os.environ or sys.stderr is None:
        yield
        return
    own, level = sys.stderr, logging.root.manager.disable
    sys.stderr.flush()
    with os.fdopen(os.dup(2), "w", encoding=own.encoding, errors="backslashreplace", buffering=1) as shown:
        if _writes_to(own, 2):
            sys.stderr = shown
        crashes = faulthandler.is_enabled()
        with tempfile.TemporaryFile() as hidden, warnings.catch_warnings():
            os.dup2(hidden.fileno(), 2)
            logging.disable(logging.CRITICAL)
            warnings.simplefilter("ignore")
            try:
                if not crashes:
                    faulthandler.enable(shown)
                yield
            finally:
                if not crashes:
                    faulthandler.disable()
                logging.disable(level)
                os.dup2(shown.fileno(), 2)
                sys.stderr = own


def _writes_to(stream: object, descriptor: int) -> bool:
    try:
        return bool(stream.fileno() == descriptor)  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):  # a stream in memory
        return False
