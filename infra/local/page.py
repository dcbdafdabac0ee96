"""The page of `predictions web` for the twin, in a process of its own."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from client.loopback import without_proxy
from infra.local.child import Child
from infra.local.ports import LOOPBACK, free_port, listens, reachable
from infra.local.worker import ROOT

_POLL_S = 0.02
"""Seconds between two looks at whether the page listens."""

_START_S = 60.0
"""Seconds after which a page that does not listen counts as failed: on a busy machine it takes some."""


class Page:
    """Serves the page; a context manager, which starts its process and stops it. A `port` 0 takes a free one.

    The page needs the rest of the twin only when something is sent, so it may start first: see `ready`. Raises
    ChildFailed when it does not start, and OSError when the port is taken.
    """

    def __init__(self, env: Mapping[str, str], log: Path, host: str = LOOPBACK, port: int = 0) -> None:
        self._env, self._log, self._host, self._port = env, log, host, port or free_port(host)
        self._child: Child | None = None

    @property
    def url(self) -> str:
        """The page's address on this machine."""
        return f"http://{reachable(self._host)}:{self._port}/"

    def __enter__(self) -> Self:
        if listens(self._port, reachable(self._host)):
            raise OSError(f"the page cannot be at {self.url}; the port is taken")
        command = [sys.executable, "-m", "client", "web", "--host", self._host, "--port", str(self._port)]
        environment = {**os.environ, **without_proxy(os.environ), **self._env}
        self._child = Child("page", command, log=self._log, cwd=ROOT, env=environment)
        return self

    def __exit__(self, *_: object) -> None:
        if self._child:
            self._child.stop()

    @contextmanager
    def ready(self) -> Iterator[None]:
        """A block that begins when the page listens, and ends with it: before what it sends to is stopped."""
        self._wait(reachable(self._host))
        try:
            yield
        finally:
            self.__exit__()

    def check(self) -> None:
        """Raise ChildFailed when the page has ended."""
        if self._child:
            self._child.check()

    def _wait(self, at: str) -> None:
        assert self._child
        deadline = time.monotonic() + _START_S
        while not listens(self._port, at):
            self.check()
            if time.monotonic() > deadline:
                raise self._child.failed(f"did not listen within {_START_S:g} s")
            time.sleep(_POLL_S)
