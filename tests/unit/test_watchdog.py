"""The watchdog of the pull worker: a silent broker or a request that never ends counts as stuck."""

from __future__ import annotations

import threading

from functions.runtime.watchdog import STUCK_S, Watchdog
from functions.service.in_flight import InFlight


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_silent_broker_is_a_warning_and_then_a_failure() -> None:
    clock = Clock()
    watchdog = Watchdog(lambda timeout_s: True, InFlight(clock).longest_s, 60, clock)
    for waited, warning, failure in ((29, False, False), (2, True, False), (28, True, False), (1, True, True)):
        clock.now += waited
        assert (bool(watchdog.warning()), bool(watchdog.failure())) == (warning, failure), clock.now
    assert watchdog.failure() == "the broker has not answered for 60.0 s"
    watchdog.heard()
    assert not watchdog.warning()


def test_a_request_that_never_ends_is_a_failure() -> None:
    clock = Clock()
    in_flight = InFlight(clock)
    watchdog = Watchdog(lambda timeout_s: True, in_flight.longest_s, 60, clock)
    begun = in_flight.begin()
    clock.now += 59
    later = in_flight.begin()
    assert not watchdog.failure()
    clock.now += STUCK_S - 59
    in_flight.settle(later)
    watchdog.heard()
    assert watchdog.failure() == f"a request has been worked on for {STUCK_S:.0f} s"
    in_flight.settle(begun)
    assert not watchdog.failure(), "it has ended"


def test_any_reply_of_the_broker_counts_as_contact() -> None:
    answers = [True, True, True, True, True, True, False, False, False, False, False, False, False, False]
    asked: list[float] = []

    def ask(timeout_s: float) -> bool:
        asked.append(timeout_s)
        return answers[len(asked) - 1]

    failure = Watchdog(ask, InFlight().longest_s, 0.2).watch()
    assert failure.startswith("the broker has not answered for 0.")
    assert len(asked) > 6 and set(asked) == {0.05}


def test_a_stopping_worker_sends_no_checks() -> None:
    watchdog = Watchdog(lambda timeout_s: True, InFlight().longest_s, 0.04)
    said: list[str] = []
    watching = threading.Thread(target=lambda: said.append(watchdog.watch()))
    watching.start()
    watchdog.end()
    watching.join(10)
    assert said == [""]
