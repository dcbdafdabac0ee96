"""How long `predictions collect` waits."""

from __future__ import annotations

import pytest

from client.cli import collect
from client.cli.collect import Collected


def test_until_idle_counts_from_the_moment_at_which_responses_are_received(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that takes longer than that to connect to leaves the whole time for the responses."""
    monkeypatch.setattr(collect, "_POLL_S", 0.0)
    now = 100.0
    looks = list[float]()

    def look(count: int) -> None:
        nonlocal now
        looks.append(now)
        now += 1

    collected = Collected({}, lambda: now)
    now += 60  # to connect
    collected.wait(None, 5, look)
    assert looks == [160, 161, 162, 163, 164, 165]
