"""The lines of `make infra-check`: begun at once, ended with the result and the seconds."""

from __future__ import annotations

import io
import re

import pytest

from infra.check import progress
from infra.check.progress import Line
from infra.check.terraform import Outcome
from tests.waiting import until


class Terminal(io.StringIO):
    """An output that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_line_begins_before_the_work_and_ends_with_the_seconds() -> None:
    out = io.StringIO()
    line = Line(out, "test", 9)
    assert out.getvalue() == "test      "
    with line.counting():
        line.say("creating tools ... ")
        assert out.getvalue().endswith("creating tools ... ")
    line.end(Outcome(True, "83 runs"))
    assert re.fullmatch(r"test      creating tools \.\.\. ok   83 runs \(\d+\.\d s\)\n", out.getvalue())


def test_a_failure_has_its_findings_below() -> None:
    out = io.StringIO()
    Line(out, "order", 5).end(Outcome(False, "one\ntwo"))
    assert re.fullmatch(r"order FAIL \(\d+\.\d s\)\n    one\n    two\n", out.getvalue())


@pytest.mark.parametrize("out", [Terminal(), io.StringIO()], ids=["terminal", "pipe"])
def test_only_a_terminal_counts_the_seconds(out: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "EVERY_S", 0.01)
    line = Line(out, "test", 4)
    with line.counting():
        counted = until(lambda: re.search(r"\rtest \d+ s", out.getvalue()), 30 if out.isatty() else 0.1)
    line.end(Outcome(True, "83 runs"))
    assert counted == ("\r" in out.getvalue()) == out.isatty()
    assert re.search(r"ok   83 runs \(\d+\.\d s\)\n$", out.getvalue())
