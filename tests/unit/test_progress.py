"""The progress of a measurement on stderr: what is measured, and how long the rest takes."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from model.training.export import progress
from model.training.export.progress import Progress


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    yield clock


def run(clock: Clock, steps: int, seconds: float) -> None:
    counted = Progress("speed", steps)
    for number in range(steps):
        counted.begin(f"model {number}")
        clock.now += seconds
    counted.end()


def test_a_line_every_ten_seconds_says_what_is_left(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    run(clock, 6, 5.0)
    assert capsys.readouterr().err.splitlines() == [
        "speed 1 of 6: model 0",
        "speed 3 of 6: model 2, about 20 s left",
        "speed 5 of 6: model 4, about 10 s left",
        "speed: done in 30 s",
    ]


def test_minutes_are_shown_as_minutes(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    run(clock, 3, 240.0)
    assert "speed 2 of 3: model 1, about 8 min left" in capsys.readouterr().err


def test_a_terminal_shows_one_line(
    clock: Clock, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    run(clock, 2, 1.0)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.endswith("\n")
    *shown, last = said.rstrip("\n").split("\r")[1:]
    assert [each.rstrip() for each in shown] == ["speed 1 of 2: model 0", "speed 2 of 2: model 1, about 1 s left"]
    assert last.startswith("speed: done in 2 s") and len(last) == len(shown[-1]), "it covers the line before"
