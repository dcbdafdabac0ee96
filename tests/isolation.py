"""Hold tests/unit to its promise: no test there starts a process, opens a connection or listens.

The functions of Python's own modules that do so are wrapped, once in each process. An audit hook would see them too,
but with coverage it breaks threads on Python 3.11: of two threads that begin at the same time, one ends at once
("Cannot install a trace function while another trace function is being installed"), and a test that waits for it never
ends.
"""

from __future__ import annotations

import functools
import os
import platform
import pty
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Any

import pytest

FORBIDDEN: tuple[tuple[Any, str], ...] = (
    *((os, name) for name in ("execv", "execve", "fork", "forkpty", "posix_spawn", "posix_spawnp", "system")),
    (pty, "spawn"),
    (subprocess.Popen, "__init__"),
    (BaseProcess, "start"),
    (socket, "getaddrinfo"),
    *((socket.socket, name) for name in ("bind", "connect", "connect_ex", "sendmsg", "sendto")),
)
"""The module or class, and the name, of each function that a unit test must not call."""


class Forbidden(BaseException):
    """A unit test started a process or opened a socket. `except Exception` does not catch it."""


class Isolation:
    """Watches while a test runs; threads that were there before the test are not its own."""

    def __init__(self) -> None:
        self._test: str | None = None
        self._elder: frozenset[threading.Thread] = frozenset()
        self._seen: list[str] = []

    @contextmanager
    def of(self, test: str) -> Iterator[list[str]]:
        """Watch until the block ends; returns the list of forbidden calls."""
        self._seen = []
        self._elder = frozenset(threading.enumerate()) - {threading.current_thread()}
        self._test = test
        try:
            yield self._seen
        finally:
            self._test = None

    def guard(self, owner: Any, name: str) -> Callable[..., Any]:
        """The function `name` of a module or class, which raises Forbidden where a unit test calls it."""
        function = getattr(owner, name)

        @functools.wraps(function)
        def guarded(*arguments: Any, **named: Any) -> Any:
            if self._test is None or threading.current_thread() in self._elder:
                return function(*arguments, **named)
            shown = arguments[1:] if isinstance(owner, type) else arguments  # without `self`
            self._seen.append(f"{owner.__name__}.{name}{shown!r:.200}")
            raise Forbidden(f"{self._test} is in tests/unit and called {self._seen[-1]}: move it to tests/service")

        return guarded


_isolation = Isolation()


def pytest_configure() -> None:
    """Wrap the functions; the wrappers do nothing outside of unit tests."""
    platform.processor()  # some libraries ask for it as they are imported, and the first answer is `uname`'s
    for owner, name in FORBIDDEN:
        setattr(owner, name, _isolation.guard(owner, name))


def _isolated(item: pytest.Item) -> Iterator[None]:
    """Fail a unit test that made a forbidden call, even when the exception was caught."""
    if item.path.parent != item.config.rootpath / "tests" / "unit":
        return (yield)
    with _isolation.of(item.nodeid) as seen:
        yield
    if seen:
        pytest.fail(f"is in tests/unit and called {', '.join(seen)}: move it to tests/service")


pytest_runtest_setup = pytest.hookimpl(wrapper=True)(_isolated)
pytest_runtest_call = pytest.hookimpl(wrapper=True)(_isolated)
