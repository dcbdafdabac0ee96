"""A broker that accepts connections and never answers."""

from __future__ import annotations

import os
import socket

import pytest

from client.__main__ import main
from client.dead_letters import subscription


@pytest.mark.parametrize(
    "command", [["list"], ["show", "r1"], ["redrive"], ["redrive", "--dry-run"], ["purge", "--yes"]]
)
def test_a_silent_broker_is_not_taken_for_one_without_dead_letters(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, seconds in (("WAIT_S", 0.3), ("CALL_TIMEOUT_S", 0.3), ("RETRY_S", 0.3)):
        monkeypatch.setattr(subscription, name, seconds)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{listening.getsockname()[1]}")
        code = main(["dead-letters", *command, "--project", "local"], os.environ)
    shown = capsys.readouterr()
    assert (code, shown.out) == (1, "")
    assert "dead letters cannot be read: " in shown.err and "no answer in time" in shown.err
    assert max(map(len, shown.err.splitlines())) <= 300
