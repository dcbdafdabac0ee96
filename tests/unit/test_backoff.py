"""Pauses that grow, and messages that appear once."""

from __future__ import annotations

from client.watching.backoff import Backoff, Notices


def test_pauses_grow_to_a_limit_and_begin_again_after_a_success() -> None:
    now = 100.0
    backoff = Backoff(5.0, lambda: now)
    assert backoff.left_s == 0
    pauses = []
    for _ in range(4):
        backoff.failed()
        backoff.failed()  # another thread's failure, in the same pause
        pauses.append(backoff.left_s)
        now += backoff.left_s
    assert pauses == [1, 2, 4, 5] and backoff.left_s == 0
    backoff.failed()
    backoff.succeeded()
    assert backoff.left_s == 0
    backoff.failed()
    assert backoff.left_s == 1


def test_a_subject_is_shown_once_until_it_is_over() -> None:
    shown: list[str] = []
    notices = Notices(shown.append)
    notices.end("disk", "never wrong")
    notices.begin("disk", "full")
    notices.begin("disk", "still full")
    notices.begin("broker", "down")
    notices.end("disk", "free")
    notices.end("disk", "free again")
    notices.begin("disk", "full again")
    assert shown == ["full", "down", "free", "full again"]
