"""Runs commands about jobs as processes of their own, each test with a job store of its own, and ends them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from client.jobs.counts import Counts
from client.jobs.store import JobStore
from client.results.record import Record
from client.results.result_files import read_records
from tests.service.cli_harness import CommandLine
from tests.waiting import until

TIMED = ("client_ms", "queue_ms", "fetch_ms", "decode_ms", "predict_ms", "total_ms", "completed_at", "trace_id")
"""Columns that differ between two runs."""

LIMITED = """
import os, resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
os.execv(sys.executable, [sys.executable, "-m", "client", *sys.argv[2:]])
"""
"""The program of a client whose files are limited."""


@dataclass(frozen=True, slots=True)
class JobCommands:
    """Processes in this folder, with its job store."""

    cli: CommandLine
    root: Path
    folder: Path

    @property
    def state(self) -> Path:
        return self.folder / "jobs.db"

    def start(self, *words: str, most_bytes: int = 0, **settings: Any) -> subprocess.Popen[str]:
        """Start a command. It can write no file beyond `most_bytes`, as with a full disk."""
        command = [sys.executable, "-m", "client", *words]
        if most_bytes:  # not in a function of this process after the fork, because gRPC has threads here
            command = [sys.executable, "-c", LIMITED, str(most_bytes), *words]
        env = os.environ | {"PYTHONPATH": str(self.root)}
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self.folder, env=env, stdout=pipe, stderr=pipe, text=True, **settings)

    def run(self, *words: str) -> tuple[int, str, str]:
        """Run a command in another process: exit code, stdout, stderr."""
        with self.start(*words) as process:
            out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def counts(self) -> Counts | None:
        """The counts of the newest job, None before there is one."""
        if not self.state.exists():
            return None
        with JobStore(self.state) as store:
            for job in store.jobs():
                return job.counts()
        return None

    def wait_for(self, sent: int) -> None:
        """Wait until so many images of the newest job are sent."""

        def is_far_enough() -> bool:
            counts = self.counts()
            return counts is not None and counts.total - counts.waiting >= sent

        assert until(is_far_enough, 30), self.counts()

    def end_at(self, sent: int, number: signal.Signals, *words: str) -> str:
        """Start a command and end it by a signal when so many images are sent; returns its messages."""
        with self.start(*words) as process:
            self.wait_for(sent)
            process.send_signal(number)
            _, err = process.communicate(timeout=30)
        assert process.returncode == (-number if number == signal.SIGKILL else 130), err
        return err

    def records(self) -> list[Record]:
        """The rows of the newest job."""
        with JobStore(self.state) as store:
            return list(store.find("last").records())

    def published(self, subscription: str) -> Counter[str]:
        """How often each request id was published, by a subscription of the request topic."""
        seen: Counter[str] = Counter()
        request = {"subscription": subscription, "max_messages": 1000, "return_immediately": True}
        while got := self._pull(request):
            seen.update(each.message.attributes["request_id"] for each in got)
            self.cli.subscriber.acknowledge(subscription=subscription, ack_ids=[each.ack_id for each in got])
        return seen

    def _pull(self, request: dict[str, Any]) -> list[Any]:
        with warnings.catch_warnings():  # of what returns at once, which the test needs
            warnings.simplefilter("ignore", DeprecationWarning)
            return list(self.cli.subscriber.pull(request=request, timeout=20).received_messages)


def rows_of(records: list[Record]) -> list[dict[str, Any]]:
    """The rows without their times and ids, by file."""
    left_out = (*TIMED, "request_id")
    rows = [{key: value for key, value in each.to_row().items() if key not in left_out} for each in records]
    return sorted(rows, key=lambda row: str(row["file"]))


def rows_in(path: Path) -> list[dict[str, Any]]:
    """The rows of a results file, without times and ids, by file."""
    return rows_of(list(read_records(path, pytest.fail)))


def copies(samples: Path, folder: Path, count: int) -> Path:
    """A folder with so many images."""
    folder.mkdir()
    sources = sorted(each for each in samples.iterdir() if each.suffix in (".bmp", ".gif", ".tif", ".jpg"))
    for number in range(count):
        source = sources[number % len(sources)]
        (folder / f"{number:05}{source.suffix}").write_bytes(source.read_bytes())
    return folder
