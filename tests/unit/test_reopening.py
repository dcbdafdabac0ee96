"""Reopened streams: errors are logged as warnings, the broker's routine endings are not."""

from __future__ import annotations

import logging

import pytest
from google.api_core.exceptions import ResourceExhausted, ServiceUnavailable

from functions.gcp.reopening import QUIET_S, Reopenings


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(caplog: pytest.LogCaptureFixture) -> Clock:
    caplog.set_level("INFO", "functions")
    return Clock()


def levels(caplog: pytest.LogCaptureFixture) -> list[int]:
    return [record.levelno for record in caplog.records]


def test_the_routine_end_of_a_stream_logs_no_warning(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    reopenings = Reopenings("projects/p/subscriptions/s", clock)
    for hour in (1, 2, 3):
        clock.now = 1800.0 * hour
        reopenings.note(ServiceUnavailable("The service was unable to fulfill your request."))
        reopenings.note(ServiceUnavailable("The service was unable to fulfill your request."))
    assert levels(caplog) == [logging.INFO] * 3


def test_a_stream_that_keeps_failing_warns_once_a_minute(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    reopenings = Reopenings("projects/p/subscriptions/s", clock)
    for _ in range(60):  # two minutes
        reopenings.note(ResourceExhausted("Received message larger than max (9000029 vs. 4194304)"))
        clock.now += 2.0
    assert levels(caplog) == [logging.WARNING] * round(120 / QUIET_S)
    assert caplog.messages[0].endswith("Received message larger than max (9000029 vs. 4194304)")
    assert vars(caplog.records[0])["subscription"] == "projects/p/subscriptions/s"


def test_other_errors_warn_however_rare(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    reopenings = Reopenings("projects/p/subscriptions/s", clock)
    clock.now = 100_000.0
    reopenings.note(ResourceExhausted("too large"))
    assert levels(caplog) == [logging.WARNING]
