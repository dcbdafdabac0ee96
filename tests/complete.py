"""Fails a run under CI when a test is skipped: a green run means that every test ran."""

from __future__ import annotations

import os

import pytest


class Complete:
    """Collects what was skipped, files too."""

    def __init__(self) -> None:
        self._skipped: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record a skipped test. Expected failures have run, and `optional` tests may be skipped."""
        if report.skipped and not hasattr(report, "wasxfail") and "optional" not in report.keywords:
            self._skipped.append(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a file."""
        if report.skipped:
            self._skipped.append(report.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail a run that was good as far as it went."""
        if self._skipped and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what was skipped."""
        for test in self._skipped:
            terminalreporter.line(f"SKIPPED UNDER CI: {test}", red=True)


def pytest_configure(config: pytest.Config) -> None:
    """On a user's machine a skip is a skip."""
    if os.environ.get("CI") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Complete(), "complete")
