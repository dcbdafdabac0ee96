"""Supervised threads: a failure is logged and ends the process."""

from __future__ import annotations

import logging
import threading

import pytest

from functions.runtime.supervised import Supervisor


def test_a_failed_thread_is_logged_and_reported(caplog: pytest.LogCaptureFixture) -> None:
    reasons: list[str] = []
    supervisor = Supervisor(reasons.append)

    def fail() -> None:
        raise KeyError("lost")

    with caplog.at_level(logging.INFO, "functions"):
        supervisor.start("broken-1", fail).join(10)
    assert reasons == ["the thread broken-1 failed: KeyError('lost')"]
    (record,) = caplog.records
    assert record.levelno == logging.CRITICAL and record.exc_info


def test_a_thread_that_returns_is_no_failure() -> None:
    reasons: list[str] = []
    done = threading.Event()
    Supervisor(reasons.append).start("done", done.set).join(10)
    assert done.is_set() and reasons == []
