"""Watches a folder: publishes each version of a file once, shows the responses, and moves the files that are answered.

All that must outlive the process is in the job store. The folder itself decides what is left to do: each complete file
is looked up, and is sent, awaited or moved as the store says. So a restart, also after a kill, goes on by itself.
"""

from __future__ import annotations

import itertools
import queue
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from client.images import Image
from client.jobs.job import Job
from client.results.output import Messages, View
from client.results.request_tracker import Outcome
from client.text import StoreError, plain, printable
from client.watching.backoff import Notices
from client.watching.done_folder import DoneFolder
from client.watching.file_version import Changed, FileVersion, Found
from client.watching.folder_scan import FolderScan
from client.watching.publishing import Publishing
from functions.errors import UNAVAILABLE
from functions.messages.contract import Response
from model.image_folder import counted

_LOOK_S = 1.0
"""Seconds between two scans, where --settle is not shorter. A scan of many files is followed by a longer pause."""

_SCAN_SHARE = 9
"""Pause after a scan, in durations of that scan: scanning takes a tenth of the time at most."""

_POLL_S = 0.2
"""Seconds of the longest wait, because on some systems a waiting thread does not notice Ctrl-C."""

_AGAIN_S = 60.0
"""Seconds after which a file that could not be read or moved is tried again."""

_PAGE = 1000
"""Files that are looked up and recorded at a time, so that sending begins before thousands are recorded."""

_MAX_QUEUED = 1000
"""Responses that wait to be shown, while a large folder is scanned. Then the stream waits."""


class Disconnected(Exception):
    """Responses can no longer be received, or the job was lost. The message names the reason."""


class FolderWatch:
    """Watches one folder for one job."""

    def __init__(
        self, folder: Path, job: Job, view: View, messages: Messages, done: DoneFolder | None, settle_s: float
    ) -> None:
        self.folder, self._job, self._view, self._messages, self._done = folder, job, view, messages, done
        self._salt = job.definition.client_id
        self._scan, self._settle_s = FolderScan(folder, settle_s), settle_s
        self._received: queue.Queue[Response] = queue.Queue(_MAX_QUEUED)
        self._open: set[str] = set()
        self._ended, self._is_there = "", False
        self._shown: set[str] = set()
        self._moved_late: list[str] = []
        self._unmoved: set[str] = set()
        self.notices = Notices(messages.show)
        self.bad: set[str] = set()
        """Request ids of the files in the folder that have an error or could not be sent."""

    # From the threads that receive

    def receive(self, response: Response) -> None:
        """Record a response, because it is acked when this returns, and show it later. Raises StoreError."""
        try:
            is_new = self._job.receive(response)
        except StoreError as exc:
            self.end(plain(exc))
            raise
        while is_new:
            with suppress(queue.Full):
                return self._received.put(response, timeout=_POLL_S)
            is_new = not self._ended  # nobody shows what arrives after the end; it is recorded

    def end(self, reason: str) -> None:
        """Let `watch` raise Disconnected."""
        self._ended = self._ended or reason

    # In the main thread

    def begin(self) -> None:
        """Prepare for a new connection: each file is looked up again."""
        self._ended = ""
        self._open.clear()
        self._scan.find_all_again()

    def watch(self, publishing: Publishing, *, once: bool) -> None:
        """Look at the folder again and again; with `once`, until all its files are answered.

        Raises Disconnected, and StoreError; `begin` and `watch` may then be called again.
        """
        while True:
            scan_s = self._look(publishing)
            pause_s = max(min(_LOOK_S, self._settle_s), min(_SCAN_SHARE * scan_s, _AGAIN_S))
            if self._shown_until(time.monotonic() + pause_s, once) and once:
                return

    def show_received(self) -> None:
        """Show the responses that have arrived."""
        with suppress(queue.Empty):
            while True:
                self._show(self._received.get_nowait())

    def _shown_until(self, until: float, once: bool) -> bool:
        """Show responses as they arrive. Returns whether all files are answered, with `once` as soon as they are."""
        while True:
            if self._ended:
                raise Disconnected(self._ended)
            is_done = self._is_there and not self._scan.is_changing and not self._open and self._received.empty()
            left = until - time.monotonic()
            if left <= 0 or (is_done and once):
                return is_done
            with suppress(queue.Empty):
                self._show(self._received.get(timeout=min(left, _POLL_S)))

    def _look(self, publishing: Publishing) -> float:
        """Scan the folder, and do what is left to do. Returns the seconds that the scan took."""
        began = time.monotonic()
        try:
            complete = iter(self._scan.scan())
        except OSError as exc:
            self._is_there = False
            self.notices.begin(
                "folder", f"{printable(str(self.folder))} cannot be read: {plain(exc)}; it is looked for again"
            )
            return 0.0
        scan_s = time.monotonic() - began
        self._is_there = True
        self.notices.end("folder", f"{printable(str(self.folder))} can be read again")
        self._show_left_out()
        while not self._ended and (page := list(itertools.islice(complete, _PAGE))):
            self._take(page, publishing)
            self.show_received()
        self._messages.show_first(self._moved_late)
        self._moved_late.clear()
        return scan_s

    def _take(self, page: Iterable[Found], publishing: Publishing) -> None:
        """Do what is left to do for these files. Raises StoreError."""
        new, to_send = [], []
        for found in page:
            version = found.version(self.folder, self._salt)
            state, rank, error_code = self._job.state_of(version.request_id) or ("", 0, "")
            if rank:
                self._answered(version, error_code, is_earlier=True)
                continue
            if not state:
                new.append(version)
            if state != "sent":
                to_send.append(version)
            self._open.add(version.request_id)
        if new:
            for _ in self._job.add(new):
                pass
        publishing.add(to_send)

    def _show(self, response: Response) -> None:
        if outcome := self._job.outcome_of(response):
            self._view.add(outcome)
            image = outcome.image
            error_code = response.error.code if response.error else ""
            self._answered(self._version(image), error_code)
            self._open.discard(image.request_id)

    def _version(self, image: Image) -> FileVersion:
        return FileVersion(self.folder / image.name, image.name, image.request_id, self._salt)

    def _answered(self, version: FileVersion, error_code: str, *, is_earlier: bool = False) -> None:
        (self.bad.add if error_code else self.bad.discard)(version.request_id)
        # `unavailable` says nothing about the image: predictions may still follow.
        if self._done and error_code != UNAVAILABLE and version.is_current() and not version.path.is_symlink():
            self._move(self._done, version, is_error=bool(error_code), is_earlier=is_earlier)

    def _move(self, done: DoneFolder, version: FileVersion, *, is_error: bool, is_earlier: bool) -> None:
        try:
            target = done.move(version, is_error=is_error)
        except Changed:  # the next scans find the new version
            return
        except OSError as exc:
            self._unmoved.add(version.request_id)
            self._scan.find_again(version.name, _AGAIN_S)
            self.notices.begin(
                "move",
                f"{printable(str(version.path))} cannot be moved: {plain(exc)}; it is tried again, and stays here",
            )
            return
        self.notices.end("move", "files are moved again")
        if version.request_id in self._unmoved:
            self._unmoved.discard(version.request_id)
        elif is_earlier:
            self._moved_late.append(
                f"{printable(str(version.path))} was answered before, and is now {printable(str(target))}; "
                "to send it again, change its time with touch"
            )

    def failed(self, version: FileVersion, exc: Exception) -> None:
        """Take a version that could not be sent; a thread that sends calls this."""
        is_gone = isinstance(exc, Changed | FileNotFoundError)
        problem = "it was removed before it was sent" if isinstance(exc, FileNotFoundError) else plain(exc)
        try:
            self._job.end(Outcome(version, version.request_id, problem=problem))
        except StoreError as failure:
            self.end(plain(failure))
            return
        if not is_gone:
            self.bad.add(version.request_id)
            self._scan.find_again(version.name, _AGAIN_S)
        if not isinstance(exc, Changed):
            self._show_once(f"{printable(str(version.path))} could not be sent: {problem}")
        self._open.discard(version.request_id)

    def _show_left_out(self) -> None:
        problems = [f"{printable(path)} {why}" for path, why in self._scan.problems.items()]
        self._messages.show_first([text for text in problems if text not in self._shown])
        self._shown.update(problems)
        kinds = [kind for kind in self._scan.left_out if kind not in self._shown]
        if kinds:
            self._shown.update(kinds)
            self._messages.show(f"left out: {printable(counted(self._scan.left_out))}")

    def _show_once(self, text: str) -> None:
        """Show a text, but not twice."""
        if text not in self._shown:
            self._shown.add(text)
            self._messages.show(text)
