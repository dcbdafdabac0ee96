"""Calls of the Python API: order, the window, generators, timeouts, errors, failures and threads."""

from __future__ import annotations

import gc
import threading
import time
import tracemalloc
from collections.abc import Iterator

import pytest

from client import Predictions, PredictionsError
from client.api.call import HOLD_S, WINDOW, Call
from client.images import Image
from client.text import SendError
from functions.messages.contract import Response
from tests.memory_pipeline import Pipeline, by_content, error, names, ok, sending
from tests.waiting import until


def test_results_come_as_they_arrive_or_in_order(predictions: Predictions, pipeline: Pipeline) -> None:
    images = [str(number).encode() for number in range(20)]
    for ordered, labels in ((False, [*range(19, -1, -1)]), (True, [*range(20)])):
        pipeline.hold = True
        pipeline.sent.clear()
        threading.Thread(target=pipeline.release, args=[20]).start()
        results = [int(each.label) for each in predictions.predict(images, ordered=ordered)]
        assert sorted(results) == [*range(20)]
        assert (results == labels) if ordered else (results != sorted(results))


def test_a_generator_without_an_end_is_read_as_its_results_are_taken(
    predictions: Predictions, pipeline: Pipeline
) -> None:
    read = []

    def images() -> Iterator[bytes]:
        for image in names():
            read.append(image)
            yield image

    results = predictions.predict(images())
    for taken in range(1, 1000):
        next(results)
        assert len(read) <= taken + WINDOW
    assert until(lambda: len(read) == 999 + WINDOW)
    time.sleep(0.05)
    assert len(read) == 999 + WINDOW, "the window does not limit what is read"


def test_results_arrive_while_the_generator_waits(predictions: Predictions) -> None:
    seen = threading.Event()

    def images() -> Iterator[bytes]:
        yield b"Bag"
        assert seen.wait(10), "the first result does not wait for the second image"
        yield b"Coat"

    labels = []
    for result in predictions.predict(images()):
        labels.append(result.label)
        seen.set()
    assert labels == ["Bag", "Coat"]


def test_a_generator_may_wait_for_each_result(predictions: Predictions) -> None:
    arrived = threading.Semaphore()

    def images() -> Iterator[bytes]:
        for number in range(100):
            assert arrived.acquire(timeout=10), f"the result of image {number - 1} waits for another image"
            yield b"Bag"

    count = 0
    for _ in predictions.predict(images()):
        count += 1
        arrived.release()
    assert count == 100


def test_the_bytes_of_an_image_are_not_kept_until_its_response(predictions: Predictions, pipeline: Pipeline) -> None:
    count, size, held = 200, 200_000, []
    pipeline.hold, pipeline.answer = True, ok

    def measure() -> None:
        until(lambda: len(pipeline.sent) == count)
        held.append(tracemalloc.get_traced_memory()[0])
        pipeline.release()

    tracemalloc.start()
    try:
        threading.Thread(target=measure).start()
        assert sum(each.ok for each in predictions.predict(bytes(size) for _ in range(count))) == count
    finally:
        tracemalloc.stop()
    assert held[0] < count * size / 5


def test_a_failing_generator_raises_after_the_results_of_its_images(predictions: Predictions) -> None:
    def images() -> Iterator[bytes]:
        yield b"Bag"
        yield b"bad"
        raise ZeroDivisionError("mine")

    labels = []
    with pytest.raises(ZeroDivisionError, match="mine"):
        for result in predictions.predict(images()):
            labels.append(result.status)
    assert sorted(labels) == ["error", "ok"]
    assert [each.label for each in predictions.predict(b"Coat")] == ["Coat"]


def test_an_abandoned_iterator_leaves_the_client_usable(predictions: Predictions) -> None:
    for result in predictions.predict(names()):
        assert result.ok
        break
    assert until(lambda: not sending()), "the threads of an abandoned call go on"
    assert [each.label for each in predictions.predict([b"Coat", b"Bag"], ordered=True)] == ["Coat", "Bag"]


def test_abandoned_calls_are_forgotten(predictions: Predictions) -> None:
    def remembered() -> int:
        gc.collect()
        return sum(isinstance(each, Call) for each in gc.get_objects())

    before = remembered()
    for _ in range(5):
        for _ in predictions.predict(names()):
            break
        assert until(lambda: not sending())
    list(predictions.predict(b"Bag"))
    assert remembered() <= before + 2


def test_a_generator_that_waits_does_not_hold_up_the_end(pipeline: Pipeline) -> None:
    may_go_on = threading.Event()

    def images() -> Iterator[bytes]:
        yield b"Bag"
        may_go_on.wait(30)
        yield b"Coat"

    before, began = set(threading.enumerate()), time.monotonic()
    with Predictions("p") as p:
        for _ in p.predict(images()):
            break
    assert time.monotonic() - began < 5
    may_go_on.set()
    assert until(lambda: set(threading.enumerate()) <= before), (
        "the thread does not end with the generator's next image"
    )
    assert pipeline.sent == ["image-0"]


def test_late_responses_of_an_abandoned_call_are_dropped(predictions: Predictions, pipeline: Pipeline) -> None:
    pipeline.hold = True
    first = predictions.predict(names())

    def answer() -> None:
        assert until(lambda: pipeline._held)
        pipeline.receive(pipeline._held.pop())

    threading.Thread(target=answer).start()
    next(first)
    del first
    pipeline.release()
    assert [each.label for each in predictions.predict(b"Coat")] == ["Coat"]


def test_an_image_that_cannot_be_read_fails_alone(predictions: Predictions) -> None:
    by_status = {each.status: each for each in predictions.predict([b"unread", b"Bag"])}
    assert set(by_status) == {"ok", "failed"}
    assert by_status["failed"].error == by_status["failed"].problem == "it cannot be read"


def test_a_silent_worker_fails_what_was_sent(pipeline: Pipeline) -> None:
    with Predictions("p", timeout_s=0.1) as p:
        results = sorted(p.predict([b"Bag", b"lost", b"lost"]), key=lambda each: each.index)
    assert [(each.status, each.error) for each in results[1:]] == [("missing", "no answer within 0.1 s")] * 2
    assert results[0].ok and results[1].request_id


@pytest.mark.parametrize("code", ["unavailable", "expired", "unknown_model", "image_not_found"])
def test_predictions_replace_an_error_that_another_delivery_may_not_have(
    predictions: Predictions, pipeline: Pipeline, code: str
) -> None:
    waiting: list[Image] = []
    pipeline.answer = waiting.append

    def work() -> None:
        until(lambda: len(waiting) == 2)
        first, second = waiting
        pipeline.receive(error(first, code))
        pipeline.receive(ok(first))
        pipeline.receive(ok(second))
        pipeline.receive(error(second, code))

    threading.Thread(target=work).start()
    assert all(each.ok for each in predictions.predict([b"a", b"b"]))


def test_an_error_is_held_no_longer_than_other_images_are_open(predictions: Predictions) -> None:
    began = time.monotonic()
    assert [each.error_code for each in predictions.predict(b"down")] == ["unavailable"]
    assert time.monotonic() - began < HOLD_S


def test_a_receiver_that_was_never_reached_ends_the_call(predictions: Predictions, pipeline: Pipeline) -> None:
    def refuse(image: Image) -> Response | None:
        raise SendError("it could not be published: no answer", temporary=True)

    pipeline.answer = refuse
    with pytest.raises(PredictionsError, match=r"^it could not be published: no answer$"):
        list(predictions.predict(names()))
    pipeline.answer = by_content
    assert [each.ok for each in predictions.predict(b"Bag")] == [True]
    pipeline.answer = refuse
    assert [each.status for each in predictions.predict(b"Bag")] == ["failed"]


def test_a_fault_of_all_images_ends_the_call_after_the_results_of_what_was_sent(
    predictions: Predictions, pipeline: Pipeline
) -> None:
    waiting: list[Image] = []

    def respond() -> None:
        for image in waiting:
            pipeline.receive(ok(image))

    def answer(image: Image) -> Response | None:
        if len(waiting) == 3:
            threading.Timer(0.05, respond).start()
            raise SendError("the topic does not exist", for_all=True)
        waiting.append(image)
        return None

    pipeline.threads, pipeline.answer = 1, answer
    results = predictions.predict(names())
    assert [next(results).ok for _ in range(3)] == [True] * 3
    with pytest.raises(PredictionsError, match=r"^the topic does not exist$"):
        next(results)
    assert len(pipeline.sent) == 3


def test_a_broken_stream_ends_all_calls(predictions: Predictions, pipeline: Pipeline) -> None:
    results = predictions.predict([b"Bag", b"lost"])
    assert next(results).ok
    assert pipeline.calls
    pipeline.calls.fail("responses can no longer be received: gone")
    for use in (lambda: next(results), lambda: list(predictions.predict(b"Bag"))):
        with pytest.raises(PredictionsError, match=r"^responses can no longer be received: gone$"):
            use()


def test_threads_have_their_own_calls(predictions: Predictions) -> None:
    labels: dict[int, list[str]] = {}

    def work(number: int) -> None:
        labels[number] = [each.label for each in predictions.predict([str(number).encode()] * 300)]

    threads = [threading.Thread(target=work, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert labels == {number: [str(number)] * 300 for number in range(4)}
