"""The deadlines of a call of the Python API, on a clock that the test sets."""

from __future__ import annotations

import pytest

from client.api.call import HOLD_S, Call
from client.api.inputs import GivenImage, ImageBytes
from tests.memory_pipeline import error, ok


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def call(clock: Clock) -> Call:
    return Call(60, clock=clock)


def sent(call: Call, count: int) -> list[GivenImage]:
    """Images that the call has sent. Its input goes on."""
    images = iter(ImageBytes(str(number), b"") for number in range(count + 1))
    taken = call.take(images)
    found = [next(taken) for _ in range(count)]
    for image in found:
        call.expect(image.request_id, image)
        call.sent(image)
    return found


def statuses(call: Call) -> list[str]:
    found = []
    while result := call.poll():
        found.append(f"{result.file} {result.status}")
    return found


def test_an_image_fails_after_the_timeout(call: Call, clock: Clock) -> None:
    sent(call, 2)
    assert call.wait_s() == 60
    clock.now += 59.9
    assert statuses(call) == []
    clock.now += 0.1
    assert statuses(call) == ["0 missing", "1 missing"] and call.wait_s() is None


def test_a_slow_worker_is_not_a_silent_one(call: Call, clock: Clock) -> None:
    images = sent(call, 5)
    for number, image in enumerate(images[:4]):
        clock.now += 50
        call.receive(ok(image))
        assert statuses(call) == [f"{number} ok"]
    assert call.wait_s() == 60
    clock.now += 60
    assert statuses(call) == ["4 missing"]


def test_the_wait_begins_when_an_image_is_sent(call: Call, clock: Clock) -> None:
    [image] = call.take(iter([ImageBytes("a", b"")]))
    call.expect(image.request_id, image)
    clock.now += 1000
    assert call.wait_s() is None and statuses(call) == []
    call.sent(image)
    clock.now += 59
    assert statuses(call) == []
    call.receive(ok(image))
    result = call.poll()
    assert result and result.client_ms == 1_059_000


@pytest.mark.parametrize("code", ["unavailable", "expired", "unknown_model", "image_not_found"])
def test_an_error_is_held_for_a_while(call: Call, clock: Clock, code: str) -> None:
    first, _ = sent(call, 2)
    call.receive(error(first, code))
    assert call.wait_s() == HOLD_S and statuses(call) == []
    clock.now += HOLD_S / 2
    call.receive(error(first, code))
    clock.now += HOLD_S / 2
    assert statuses(call) == ["0 error"], "a copy does not prolong it"


@pytest.mark.parametrize("code", ["invalid_request", "invalid_image", "image_too_large", "unsupported_format"])
def test_an_error_that_every_delivery_has_is_not_held(call: Call, code: str) -> None:
    first, _ = sent(call, 2)
    call.receive(error(first, code))
    assert statuses(call) == ["0 error"]


def test_errors_are_not_held_when_nothing_else_is_open(call: Call) -> None:
    first, second = sent(call, 2)
    call.receive(error(first, "unavailable"))
    assert statuses(call) == []
    call.receive(ok(second))
    assert statuses(call) == ["1 ok", "0 error"]


def test_another_error_replaces_unavailable(call: Call) -> None:
    [image] = sent(call, 1)
    call.receive(error(image, "unavailable"))
    call.receive(error(image, "expired"))
    result = call.poll()
    assert result and result.error_code == "expired"
