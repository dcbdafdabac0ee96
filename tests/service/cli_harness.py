"""Runs the client's commands against a twin."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from google.cloud import pubsub_v1

from client.__main__ import main
from infra.local.twin import Twin

PROJECT = "local"


@dataclass(frozen=True, slots=True)
class CommandLine:
    """Runs the client's commands, and inspects their effects with stock clients."""

    capsys: pytest.CaptureFixture[str]
    publisher: Any
    subscriber: Any

    def run(self, *words: str) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        code = main(words, os.environ)
        said = self.capsys.readouterr()
        return code, said.out, said.err

    def cancel_last(self) -> None:
        """Give up the job of the last command, of which responses are missing: its subscription is deleted."""
        code, out, err = self.run("cancel", "last")
        assert code == 0 and "cancelled " in out, err

    def lines(self, *words: str) -> tuple[int, list[dict[str, Any]]]:
        code, out, _ = self.run(*words, "--json")
        return code, [json.loads(line) for line in out.splitlines()]

    def subscriptions(self) -> set[str]:
        return {
            each.name.rpartition("/")[2] for each in self.subscriber.list_subscriptions(project=f"projects/{PROJECT}")
        }

    def topic(self, name: str) -> str:
        self.publisher.create_topic(name=f"projects/{PROJECT}/topics/{name}")
        return name

    def purge(self, subscription: str) -> None:
        """Ack everything that a subscription, by its full name, holds."""
        self.subscriber.seek(request={"subscription": subscription, "time": datetime.now(UTC)})

    def message(self, subscription: str) -> Any:
        """The first message of a subscription, leased: waits until there is one, and ends the test after a minute."""
        deadline = time.monotonic() + 60
        request = {"subscription": subscription, "max_messages": 1}
        while not (received := self.subscriber.pull(request, timeout=20).received_messages):
            assert time.monotonic() < deadline, f"{subscription} has no message"
        return received[0]

    def subscription(self, name: str, topic: str, **settings: object) -> str:
        path = f"projects/{PROJECT}/subscriptions/{name}"
        request = {"name": path, "topic": f"projects/{PROJECT}/topics/{topic}", **settings}
        self.subscriber.create_subscription(request=request)
        return path


@contextmanager
def command_line(
    twin: Twin, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[CommandLine]:
    """The command line against a twin. At the end, no new subscription may be left."""
    for name, value in twin.env.items():
        monkeypatch.setenv(name, value)
    publisher, subscriber = pubsub_v1.PublisherClient(), pubsub_v1.SubscriberClient()
    made = CommandLine(capsys, publisher, subscriber)
    before = made.subscriptions()
    yield made
    assert made.subscriptions() == before, "a subscription was left behind"
    publisher.stop()
    publisher.transport.close()
    subscriber.close()
