"""The memory of sending does not grow with the number of images that are sent and answered."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from client.images import AnyImage, Image, StoredImage
from client.results.request_tracker import Outcome, RequestTracker
from client.sources.selection import Selection
from client.sources.source import Source
from client.text import SendError
from client.text_map import TextMap
from client.transport.base import Sent, send_all
from functions.messages.contract import Error, Response
from model.labels import Prediction

FEW, MANY = 1_000, 4_000
BYTES_PER_IMAGE = 100


def listed(count: int) -> Source:
    """A source of `count` objects below two prefixes, of which the second repeats every name of the first."""

    def list_objects(bucket: str, prefix: str) -> Iterator[tuple[str, int, int]]:
        return ((f"{prefix}{number:06}.png", 1, 10) for number in range(count // 2))

    return Source(Selection(["gs://photos/a/", "gs://photos/b/"]), list_objects)


def in_a_list(count: int) -> Source:
    """A source of a CSV list with `count` objects, each with a request id."""
    path = Path("list.csv")
    with path.open("w") as file:
        file.write("file,id\n")
        file.writelines(f"gs://photos/{number:06}.png,request-{number}\n" for number in range(count))
    return Source(Selection([], [str(path)], id_column="id"), lambda bucket, prefix: ())


def send_one_by_one(images: Iterator[AnyImage]) -> int:
    """Send images; the first prediction of each arrives before its sending ends, or after."""
    tracker, count = RequestTracker(), 0
    outcomes = tracker.outcomes(60)
    for count, image in enumerate(images, 1):
        request_id = f"request {count}"
        tracker.expect(request_id, image, trace_id=f"{count:032}")
        steps: list[Callable[[], None]] = [lambda: tracker.receive(ok(request_id)), lambda: tracker.sent(image)]  # noqa: B023
        for step in steps if count % 2 else reversed(steps):
            step()
        assert next(outcomes).ok
    return count


def ok(request_id: str) -> Response:
    return Response(request_id, (Prediction("Bag", 0.9),))


def peak(source: Callable[[int], Source], count: int) -> int:
    gc.collect()
    tracemalloc.start()
    try:
        assert send_one_by_one(source(count).images()) == count
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("source", [listed, in_a_list])
def test_each_image_more_takes_little_memory(
    source: Callable[[int], Source], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    peak(source, 10)  # fills caches
    most = peak(source, FEW) + BYTES_PER_IMAGE * (MANY - FEW)
    # Threads of other tests may allocate memory meanwhile, but not each time.
    assert any(peak(source, MANY) < most for _ in range(3))


def test_nothing_is_kept_of_an_image_that_is_sent_and_answered() -> None:
    """Also where the response arrives during the sending, or a failure follows it."""
    tracker = RequestTracker()

    class Answering:
        threads = 4

        def send(self, image: Image) -> Sent:
            request_id = image.name
            tracker.expect(request_id, image)
            tracker.receive(ok(request_id))
            if int(image.filename.removesuffix(".png")) % 3 == 0:
                raise SendError("not confirmed")
            return Sent(request_id, "")

    before = images_alive()
    assert sum(1 for outcome in send_all(Answering(), listed(600).images(), tracker, 60) if outcome.ok) == 600
    assert images_alive() == before and tracker.all_sent


def images_alive() -> int:
    gc.collect()
    return sum(isinstance(each, StoredImage) for each in gc.get_objects())


@pytest.mark.parametrize("answer", [None, Response("r", error=Error("unavailable", "a sentence"))])
def test_an_image_is_sent_again_under_a_new_id_after_its_sending_ended(answer: Response | None) -> None:
    """As when the subscription of an earlier run is gone: the image is awaited once."""
    tracker = RequestTracker(clock=lambda: 0.0)
    image = next(listed(2).images())
    tracker.expect("r", image)
    tracker.sent(image)
    if answer:
        tracker.receive(answer)
    tracker.expect("again", image)
    tracker.finish_sending()
    tracker.receive(ok("again"))
    assert list(tracker.outcomes(60)) == [Outcome(image, "again", ok("again"))]


def test_a_text_map_keeps_texts_exactly() -> None:
    with TextMap() as texts:
        assert texts.add("a", 1) and texts.add("A", 2) and texts.add("\udcff\0", 3) and texts.add("", 4)
        assert not texts.add("a", 5) and texts["a"] == 1
        texts["a"] = 6
        assert [texts[text] for text in ("a", "A", "\udcff\0", "")] == [6, 2, 3, 4]


def test_a_full_disk_is_named() -> None:
    why = "do not fit into a temporary file: database or disk is full"
    with TextMap() as texts, pytest.raises(SendError, match=why):
        texts._run("PRAGMA max_page_count = 10")
        for number in range(10_000):
            texts.add(f"{number:0100}")
