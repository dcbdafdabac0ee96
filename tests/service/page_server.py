"""The page of `predictions web` in a process of its own, and a browser that opens it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from infra.local.ports import free_port, listens
from tests.conftest import absent, require
from tests.waiting import until

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


class PageServer:
    """Runs `predictions web` on one port with one job store; it can be killed and started again."""

    def __init__(self, root: Path, folder: Path, env: Mapping[str, str], *arguments: str) -> None:
        self.port, self.state = free_port(), folder / "jobs.db"
        self.url = f"http://127.0.0.1:{self.port}"
        given = ["--port", str(self.port), "--state", str(self.state), *arguments]
        self._command = [sys.executable, "-m", "client", "web", *given]
        self._root, self._env, self._log = root, {**os.environ, **env}, folder / "page.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, cwd=self._root, env=self._env, stdout=log, stderr=log)
        assert until(lambda: listens(self.port), 30), self.said()

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, and return the exit code."""
        assert self._process
        self._process.send_signal(number)
        return self._process.wait(20)

    def said(self) -> str:
        return self._log.read_text()

    def __enter__(self) -> PageServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def rows(self) -> list[dict[str, Any]]:
        """The rows of the history."""
        rows: list[dict[str, Any]] = requests.get(f"{self.url}/api/history", timeout=10).json()["rows"]
        return rows

    def upload(self, data: bytes, key: str, name: str = "a.png", **options: str) -> requests.Response:
        params = {"key": key, "name": name, **options}
        return requests.post(f"{self.url}/api/images", data, params=params, timeout=30)

    def again(self, job: str, *numbers: int) -> requests.Response:
        """Ask the page to send images of a job again."""
        return requests.post(f"{self.url}/api/again", json={"job": job, "numbers": numbers}, timeout=30)

    @property
    def pid(self) -> int:
        """The process's id."""
        assert self._process
        return self._process.pid

    def answered(self, count: int) -> Callable[[], bool]:
        """A condition: so many rows have a response."""
        return lambda: sum(row["state"] in ("ok", "error") for row in self.rows()) >= count


class Tab:
    """One page of the browser, and all that it logged and requested."""

    def __init__(self, page: Any) -> None:
        self.page, self.logged, self.requested = page, list[str](), list[str]()
        page.on("console", lambda message: self.logged.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.logged.append(f"error: {error}"))
        page.on("request", lambda request: self.requested.append(request.url))

    def open(self, server: PageServer) -> None:
        """Go to the page of a server, and wait until it is connected."""
        self.page.goto(server.url)
        self.connected()

    def until(self, script: str, timeout_s: float = 60.0) -> None:
        """Wait until an expression is true. Playwright's own wait needs `eval`, which the page's policy forbids."""
        assert until(lambda: self.page.evaluate(script), timeout_s), self.page.inner_text("body")[:2000]

    def counts(self, text: str) -> None:
        """Wait until the line above the rows has this text."""
        self.until(f"document.querySelector('#counts').textContent.includes({text!r})")

    def connected(self) -> None:
        self.until("document.querySelector('#connection').textContent === 'connected'")


@contextmanager
def browser() -> Iterator[Any]:
    """Debian's chromium, without a window."""
    require("playwright")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        absent("no chromium is installed: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield opened
        finally:
            opened.close()
