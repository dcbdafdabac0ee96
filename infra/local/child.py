"""A child process of the twin: in its own process group, with a log file, and ended when the twin ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from model.text import printable

_LAUNCHER = Path(__file__).with_name("die_with_parent.py")

# Bytes of the log's end in which an error looks for the reason, and characters of the reason.
_TAIL_BYTES = 65_536
_REASON_LENGTH = 300
_ERRORS = ("ERROR", "CRITICAL")
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ChildFailed(RuntimeError):
    """A process that the twin needs did not start, or ended; the message has the last reason in its log."""


class Child:
    """A child process, which runs from construction to `stop`. Its output goes to `log`."""

    def __init__(self, name: str, command: Sequence[str], *, log: Path, cwd: Path, env: Mapping[str, str]) -> None:
        self.name, self.log = name, log
        log.parent.mkdir(parents=True, exist_ok=True)
        # -S -E: the launcher needs only the standard library, and starts in 20 ms.
        launched = [sys.executable, "-S", "-E", str(_LAUNCHER), str(os.getpid()), *command]
        process = None
        try:
            with log.open("wb") as output, _signals_deferred():
                process = subprocess.Popen(
                    launched,
                    cwd=cwd,
                    env=dict(env),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # the terminal's Ctrl-C reaches only the twin, which stops its children
                )
        except BaseException:
            if process:
                process.kill()
                process.wait()
            raise
        self._process = process

    @property
    def pid(self) -> int:
        """The child's process id, which is also the id of its process group."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code, None while the child runs."""
        return self._process.poll()

    def failed(self, why: str) -> ChildFailed:
        """An error with `why`, and the last reason in the log, in one line."""
        tail = self.log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace")
        reason = printable(_last_reason(tail))[:_REASON_LENGTH]
        return ChildFailed(f"the {self.name} {why}: {reason}\n  all of its output is in {self.log}")

    def check(self) -> None:
        """Raise ChildFailed when the child has ended."""
        if (code := self.exit_code) is not None:
            raise self.failed(f"ended with code {code}" if code >= 0 else f"was killed by {signal.Signals(-code).name}")

    def terminate(self) -> None:
        """Ask the child to end, and return at once."""
        if self.exit_code is None:
            self._process.terminate()

    def kill(self) -> None:
        """Kill the process group and return at once. No handler runs, as when a machine fails."""
        _signal_group(self.pid, signal.SIGKILL)

    def stop(self, grace_s: float = 8.0) -> None:
        """Ask the child to end, wait, and kill the rest of its group."""
        self.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(grace_s)
        deadline = time.monotonic() + grace_s
        while _signal_group(self.pid, signal.SIGKILL) and time.monotonic() < deadline:
            self._process.poll()
            time.sleep(0.005)
        self._process.wait()


def _last_reason(log: str) -> str:
    """The message of the log's last error in JSON, as the worker logs them, else its last line."""
    lines = [line for line in map(str.strip, log.splitlines()) if line]
    errors = filter(None, map(_error_in, reversed(lines)))
    return next(errors, lines[-1] if lines else "it printed nothing")


def _error_in(line: str) -> str:
    """The first line of the message of an error record, empty for another line."""
    try:
        record = json.loads(line)
        return str(record["message"]).partition("\n")[0] if record["severity"] in _ERRORS else ""
    except (ValueError, LookupError, TypeError):
        return ""


@contextlib.contextmanager
def _signals_deferred() -> Iterator[None]:
    """Defer signals to the end of the block. Between fork and return, an exception would leave the child running."""
    deferred: list[int] = []
    handled = {each: signal.getsignal(each) for each in _SIGNALS}
    held = {each: handler for each, handler in handled.items() if callable(handler)}
    if threading.current_thread() is not threading.main_thread():
        held = {}  # only the main thread handles signals
    for each in held:
        signal.signal(each, lambda number, frame: deferred.append(number))
    try:
        yield
    finally:
        for each, handler in held.items():
            signal.signal(each, handler)
        for number in deferred:
            signal.raise_signal(number)


def _signal_group(group: int, number: int) -> bool:
    """Send a signal to a process group; False when it has no processes."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True
