"""When a pull worker counts as stuck: nothing heard for too long, or a request that never ends."""

from __future__ import annotations

import threading

from functions.runtime.watchdog import WORK_S, Liveness
from functions.service.in_flight import Pending


class Clock:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_silence_is_trouble_and_half_of_it_is_doubt() -> None:
    clock = Clock()
    liveness = Liveness(lambda timeout_s: True, Pending(clock).longest_s, 60, clock)
    for waited, doubt, trouble in ((29, False, False), (2, True, False), (28, True, False), (1, True, True)):
        clock.now += waited
        assert (bool(liveness.doubt()), bool(liveness.trouble())) == (doubt, trouble), clock.now
    assert liveness.trouble() == "the broker has not answered for 60.0 s"
    liveness.heard()
    assert not liveness.doubt()


def test_a_message_must_end() -> None:
    clock = Clock()
    pending = Pending(clock)
    liveness = Liveness(lambda timeout_s: True, pending.longest_s, 60, clock)
    begun = pending.begin()
    clock.now += 59
    later = pending.begin()
    assert not liveness.trouble()
    clock.now += WORK_S - 59
    pending.settle(later)
    liveness.heard()
    assert liveness.trouble() == f"a request has been worked on for {WORK_S:.0f} s"
    pending.settle(begun)
    assert not liveness.trouble(), "it has ended"


def test_an_answer_is_enough_and_silence_is_not() -> None:
    answers = [True, True, True, True, True, True, False, False, False, False, False, False, False, False]
    asked: list[float] = []

    def ask(timeout_s: float) -> bool:
        asked.append(timeout_s)
        return answers[len(asked) - 1]

    trouble = Liveness(ask, Pending().longest_s, 0.2).watch()
    assert trouble.startswith("the broker has not answered for 0.")
    assert len(asked) > 6 and set(asked) == {0.05}


def test_a_worker_that_ends_asks_no_more() -> None:
    liveness = Liveness(lambda timeout_s: True, Pending().longest_s, 0.04)
    said: list[str] = []
    watching = threading.Thread(target=lambda: said.append(liveness.watch()))
    watching.start()
    liveness.end()
    watching.join(10)
    assert said == [""]
