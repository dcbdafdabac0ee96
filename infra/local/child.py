"""A process that the twin starts: in a group of its own, with a log file, gone when the twin is gone."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_LEASH = Path(__file__).with_name("leash.py")
_TAIL_BYTES = 4000
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ChildFailed(RuntimeError):
    """A process that the twin needs did not start; the message ends with what it logged last."""


class Child:
    """One child process, running from construction to `stop`; what it prints goes to `log`."""

    def __init__(self, name: str, command: Sequence[str], *, log: Path, cwd: Path, env: Mapping[str, str]) -> None:
        self.name, self.log = name, log
        log.parent.mkdir(parents=True, exist_ok=True)
        # -S -E: the leash needs nothing but the standard library, and is there in 20 ms.
        leashed = [sys.executable, "-S", "-E", str(_LEASH), str(os.getpid()), *command]
        process = None
        try:
            with log.open("wb") as output, _signals_held_back():
                process = subprocess.Popen(
                    leashed,
                    cwd=cwd,
                    env=dict(env),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C at the terminal is for the twin, which stops its children in order
                )
        except BaseException:
            if process:
                process.kill()
                process.wait()
            raise
        self._process = process

    @property
    def pid(self) -> int:
        """The leader's process id, which is also the group's."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def failed(self, why: str) -> ChildFailed:
        """The error to raise, with the end of the log."""
        tail = self.log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace").strip()
        return ChildFailed(f"the {self.name} {why}; {self.log} ends with:\n{tail or '(nothing)'}")

    def check(self) -> None:
        """Raise ChildFailed when it has ended."""
        if (code := self.exit_code) is not None:
            raise self.failed(f"ended with code {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}")

    def terminate(self) -> None:
        """Ask it to end, and return at once."""
        if self.exit_code is None:
            self._process.terminate()

    def kill(self) -> None:
        """Kill its group and return at once: no handler runs, as when a machine is gone."""
        _signal_group(self.pid, signal.SIGKILL)

    def stop(self, grace_s: float = 8.0) -> None:
        """Ask it to end, wait, and kill what is left of its group."""
        self.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(grace_s)
        deadline = time.monotonic() + grace_s
        while _signal_group(self.pid, signal.SIGKILL) and time.monotonic() < deadline:
            self._process.poll()
            time.sleep(0.005)
        self._process.wait()


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """Let what they raise be raised at the block's end: between a fork and its return nobody could end the child."""
    came: list[int] = []
    handled = {each: signal.getsignal(each) for each in _SIGNALS}
    held = {each: handler for each, handler in handled.items() if callable(handler)}
    if threading.current_thread() is not threading.main_thread():
        held = {}  # raised elsewhere
    for each in held:
        signal.signal(each, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        for each, handler in held.items():
            signal.signal(each, handler)
        for number in came:
            signal.raise_signal(number)


def _signal_group(group: int, number: int) -> bool:
    """Whether there still was anybody to signal."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True
