"""Hold tests/unit to its promise: no test there starts a process, opens a connection or listens.

An audit hook sees every such call of Python's own modules, in the test and in the threads that it starts.
"""

from __future__ import annotations

import platform
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

FORBIDDEN = frozenset(
    {
        "os.exec",
        "os.fork",
        "os.forkpty",
        "os.posix_spawn",
        "os.spawn",
        "os.system",
        "pty.spawn",
        "socket.bind",
        "socket.connect",
        "socket.getaddrinfo",
        "socket.sendto",
        "subprocess.Popen",
    }
)


class Forbidden(BaseException):
    """A unit test started a process or opened a socket. `except Exception` does not catch it."""


class Isolation:
    """Audits while a test runs; threads that were there before the test are not its own."""

    def __init__(self) -> None:
        self._test: str | None = None
        self._elder: frozenset[threading.Thread] = frozenset()
        self._seen: list[str] = []

    @contextmanager
    def of(self, test: str) -> Iterator[list[str]]:
        """Audit until the block ends; returns the list of forbidden calls."""
        self._seen = []
        self._elder = frozenset(threading.enumerate()) - {threading.current_thread()}
        self._test = test
        try:
            yield self._seen
        finally:
            self._test = None

    def audit(self, event: str, arguments: tuple[object, ...]) -> None:
        """Raise Forbidden at what a unit test may not do. For sys.addaudithook."""
        if self._test is None or event not in FORBIDDEN or threading.current_thread() in self._elder:
            return
        self._seen.append(f"{event}{arguments!r:.200}")
        raise Forbidden(f"{self._test} is in tests/unit and called {self._seen[-1]}: move it to tests/service")


_isolation = Isolation()


def pytest_configure() -> None:
    """An audit hook cannot be removed; it does nothing outside of unit tests."""
    platform.processor()  # some libraries ask for it as they are imported, and the first answer is `uname`'s
    sys.addaudithook(_isolation.audit)


def _audited(item: pytest.Item) -> Iterator[None]:
    """Fail a unit test that made a forbidden call, even when the exception was caught."""
    if item.path.parent != item.config.rootpath / "tests" / "unit":
        return (yield)
    with _isolation.of(item.nodeid) as seen:
        yield
    if seen:
        pytest.fail(f"is in tests/unit and called {', '.join(seen)}: move it to tests/service")


pytest_runtest_setup = pytest.hookimpl(wrapper=True)(_audited)
pytest_runtest_call = pytest.hookimpl(wrapper=True)(_audited)
