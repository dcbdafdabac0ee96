"""Processor time budgets of the test folders, in budget.toml: a table after every run, and a failure under CI.

The cost of a folder is the processor time of its tests and fixtures, with the child processes that they waited for.
Other programs on the machine hardly change it. The table also shows elapsed time, which they do change.
"""

from __future__ import annotations

import os
import tomllib
from collections import Counter, defaultdict
from collections.abc import Generator, Mapping
from pathlib import Path

import pytest

BUDGET = Path(os.environ.get("TESTS_BUDGET") or Path(__file__).with_name("budget.toml"))

_PROPERTY = "processor_s"


def over(spent: Mapping[str, float], allowed: Mapping[str, float]) -> list[str]:
    """A sentence for each folder that took too much, or for which nothing is allowed yet."""
    sentences = []
    for folder, seconds in sorted(spent.items()):
        if folder not in allowed:
            sentences.append(f"tests/{folder} has no budget in {BUDGET.name}")
        elif seconds > allowed[folder]:
            sentences.append(f"tests/{folder} took {seconds:.0f} s of processor time, not {allowed[folder]:.0f}")
    return sentences


class Meter:
    """Adds to each report the processor time since the previous one. Runs where the tests run."""

    def __init__(self) -> None:
        self._before = _taken()

    def pytest_collection_finish(self) -> None:
        """Collection counts for no test."""
        self._before = _taken()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Add the seconds to the report."""
        report = yield
        before, self._before = self._before, _taken()
        report.user_properties.append((_PROPERTY, self._before - before))
        return report


class Budget:
    """Adds up the reports by folder. Under xdist all reach the process that started the others."""

    def __init__(self, allowed: Mapping[str, float]) -> None:
        self._allowed = allowed
        self._spent: defaultdict[str, float] = defaultdict(float)
        self._clock: defaultdict[str, float] = defaultdict(float)
        self._tests: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a report for its folder."""
        folder = Path(report.location[0]).parent.name
        self._spent[folder] += next(float(str(value)) for name, value in report.user_properties if name == _PROPERTY)
        self._clock[folder] += report.duration
        self._tests[folder] += report.when == "setup"

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail a run that was good but too expensive."""
        if os.environ.get("CI") and over(self._spent, self._allowed) and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the table, and what is over."""
        terminalreporter.section("what each folder took", "-")
        for folder, seconds in sorted(self._spent.items()):
            allowed = f"of {self._allowed.get(folder, 0):.0f} s processor time"
            clock = f"{self._clock[folder]:.0f} s by the clock"
            terminalreporter.line(f"{folder:12} {self._tests[folder]:5} tests, {seconds:6.1f} s {allowed}, {clock}")
        for sentence in over(self._spent, self._allowed):
            terminalreporter.line(f"OVER BUDGET: {sentence}", red=True)


def _taken() -> float:
    return sum(os.times()[:4])


def pytest_configure(config: pytest.Config) -> None:
    """Add up where the reports come together; measure where tests run, which may be the same process."""
    if not hasattr(config, "workerinput"):
        table = "seconds_with_coverage" if config.pluginmanager.hasplugin("_cov") else "seconds"
        config.pluginmanager.register(Budget(tomllib.loads(BUDGET.read_text())[table]), "budget")
    config.pluginmanager.register(Meter(), "meter")
