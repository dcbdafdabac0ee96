"""The lag that a Kafka worker logs once a minute."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from functions.kafka.assignment import Assignment
from functions.kafka.lag import REPORT_S, LagLog
from tests.unit.test_kafka_messages import message


def reported(caplog: pytest.LogCaptureFixture) -> list[tuple[Any, ...]]:
    """Topic, lag and finished messages of each line."""
    fields = [vars(record) for record in caplog.records if record.name == "functions.kafka.lag"]
    return [(each["topic"], each["lag"], each["finished"]) for each in fields]


def test_a_line_a_minute_has_the_lag_and_what_was_finished_since_the_last(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "functions.kafka.lag")
    now = 1000.0
    lag_log = LagLog("req_predict", lambda: now)
    for second in range(int(10 * REPORT_S) + 1):
        now = 1000.0 + second
        lag_log.step(lag=second, finished=5 * second)
    assert reported(caplog) == [("req_predict", 60 * minute, 300) for minute in range(1, 11)]


def test_a_worker_that_ends_within_a_minute_is_silent_and_a_late_line_comes_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "functions.kafka.lag")
    now = 0.0
    lag_log = LagLog("req_predict", lambda: now)
    now = REPORT_S - 0.1
    lag_log.step(7, 1)
    assert reported(caplog) == []
    now = 3.5 * REPORT_S  # the consumer was held up by a rebalance
    lag_log.step(7, 2)
    now += 0.4 * REPORT_S
    lag_log.step(8, 3)
    assert reported(caplog) == [("req_predict", 7, 2)]
    now += 0.2 * REPORT_S
    lag_log.step(9, 4)
    assert reported(caplog)[1:] == [("req_predict", 9, 2)]


def test_messages_count_as_finished_once_and_those_that_are_left_do_not() -> None:
    assignment = Assignment(None, 10, 1_000_000)
    assignment.assign([("req_predict", 3)])
    held = [assignment.begin(message(offset=offset), lambda *_: []) for offset in range(4)]
    for each in held:
        assert each and assignment.handle(each)
    for each in held[:2]:
        assert each
        each.finish()
    assert held[2] and held[3]
    held[2].leave()
    assignment.revoke([("req_predict", 3)])
    held[3].finish()  # answered, although another worker will handle it again
    assert assignment.finished == 3
