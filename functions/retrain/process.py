"""Runs a training job in a process of its own, whose memory ends with it: `python -m model.training.retrain`."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from model.text import shortened

log = logging.getLogger("functions.retrain")

_GRACE_S = 10.0
"""Seconds for which the last lines of an ended process are waited for: a process that it started may hold the pipe."""


class JobFailed(Exception):
    """The process ended without a result. Another attempt may succeed."""


class JobTooLong(Exception):
    """The process was ended because it took longer than it may."""


def run_job(job: Mapping[str, Any], timeout_s: float, scratch: Path) -> dict[str, Any]:
    """Run a job and return the result that it prints. Its other lines go to the log.

    The process ends when this one ends, whatever ends it. Raises JobFailed, JobTooLong, and OSError when `scratch`
    cannot be written.
    """
    work = Path(tempfile.mkdtemp(prefix="retrain-", dir=scratch))
    try:
        return _run(job, timeout_s, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _run(job: Mapping[str, Any], timeout_s: float, work: Path) -> dict[str, Any]:
    process = subprocess.Popen(
        [sys.executable, "-m", "model.training.retrain", str(work)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,  # Ctrl-C reaches the worker alone, which ends this process and those that it started
    )
    assert process.stdin and process.stdout and process.stderr
    lines, printed = list[str](), list[str]()
    readers = [
        threading.Thread(target=_read_log, args=(process.stderr, lines), daemon=True),
        threading.Thread(target=_keep_last, args=(process.stdout, printed), daemon=True),
    ]
    for reader in readers:
        reader.start()
    try:
        with suppress(BrokenPipeError):  # the process has ended, and its exit code says so
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()  # it stays open: the process ends when it closes
        code = process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        raise JobTooLong(f"it took longer than {timeout_s:,.0f} s") from None
    finally:
        _kill_group(process.pid)
        process.wait()
        for reader in readers:
            reader.join(_GRACE_S)
        with suppress(BrokenPipeError):
            process.stdin.close()
    if code or not printed:
        said = f": {lines[-1]}" if lines else ""
        raise JobFailed(shortened(f"the training process ended with code {code}{said}", 500))
    found: dict[str, Any] = json.loads(printed[-1])
    return found


def _kill_group(group: int) -> None:
    """Kill a process and those that it started to measure speeds."""
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _read_log(stream: IO[str], lines: list[str]) -> None:
    with stream:
        for line in stream:
            if text := line.rstrip():
                lines[:] = [text]
                log.info("%s", text)


def _keep_last(stream: IO[str], printed: list[str]) -> None:
    with stream:
        for line in stream:
            printed[:] = [line]
