"""What each folder of tests may cost: seconds in budget.toml, a table after every run, and under CI a failure.

A folder's seconds are those of its tests and fixtures added up, whatever ran beside them.
"""

from __future__ import annotations

import os
import tomllib
from collections import Counter, defaultdict
from pathlib import Path

import pytest

BUDGET = Path(__file__).with_name("budget.toml")


def over(spent: dict[str, float], allowed: dict[str, float]) -> list[str]:
    """A sentence for each folder that took too long, or for which nothing is allowed yet."""
    sentences = []
    for folder, seconds in sorted(spent.items()):
        if folder not in allowed:
            sentences.append(f"tests/{folder} has no budget in {BUDGET.name}")
        elif seconds > allowed[folder]:
            sentences.append(f"tests/{folder} took {seconds:.0f} s of {allowed[folder]:.0f} s: make it cheaper")
    return sentences


class Budget:
    """Adds up what the tests of each folder took. Under xdist all reports reach the process that started the others."""

    def __init__(self, allowed: dict[str, float]) -> None:
        self.allowed = allowed
        self.spent: defaultdict[str, float] = defaultdict(float)
        self.tests: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count the report's seconds for its folder."""
        folder = Path(report.location[0]).parent.name
        self.spent[folder] += report.duration
        self.tests[folder] += report.when == "call"

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail a run that was good but too expensive."""
        if os.environ.get("CI") and over(self.spent, self.allowed) and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the table, and what is over."""
        terminalreporter.section("seconds by folder", "-")
        for folder, seconds in sorted(self.spent.items()):
            allowed = self.allowed.get(folder, 0)
            terminalreporter.line(f"{folder:12} {self.tests[folder]:5} tests {seconds:7.1f} s of {allowed:.0f} s")
        for sentence in over(self.spent, self.allowed):
            terminalreporter.line(f"OVER BUDGET: {sentence}", red=True)


def pytest_configure(config: pytest.Config) -> None:
    """Not in the processes that xdist starts."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Budget(tomllib.loads(BUDGET.read_text())["seconds"]), "budget")
