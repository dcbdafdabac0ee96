"""The Python API against the whole twin: topic, HTTP endpoint, failures, threads, tasks."""

from __future__ import annotations

import asyncio
import os
import threading
import time
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from google.cloud import storage

from client import AsyncPredictions, Predictions, PredictionsError
from infra.local.ports import free_port
from infra.local.twin import Delivery, Twin
from tests.blackhole_proxy import BlackholeProxy
from tests.memory_pipeline import sending
from tests.service.cli_harness import CommandLine
from tests.silent_server import SilentServer
from tests.waiting import until


@pytest.fixture
def twin(shared_twin: Callable[[Delivery], Twin]) -> Twin:
    return shared_twin("push")


@pytest.fixture
def bag(samples: Path) -> bytes:
    return (samples / "bag.bmp").read_bytes()


def test_many_images_share_one_subscription(cli: CommandLine, bag: bytes, samples: Path) -> None:
    sneaker = (samples / "sneaker.jpg").read_bytes()
    before = cli.subscriptions()
    with Predictions() as p:
        [own] = cli.subscriptions() - before
        results = list(p.predict((sneaker if number % 2 else bag) for number in range(200)))
        assert sorted(each.index for each in results) == [*range(200)]
        assert all(each.label == ("Sneaker" if each.index % 2 else "Bag") for each in results)
        [again] = p.predict({"shop/bag": bag}, top_k=1)
        assert (again.file, len(again.predictions)) == ("shop/bag", 1)
        assert cli.subscriptions() - before == {own}
    assert cli.subscriptions() == before


def test_paths_large_images_and_images_that_fail(cli: CommandLine, samples: Path, root: Path, tmp_path: Path) -> None:
    large = tmp_path / "large.jpg"
    large.write_bytes((samples / "trouser.jpg").read_bytes() + bytes(1_000_001))
    given = [samples, large, root / "README.md", tmp_path / "none.png"]
    with Predictions("local") as p:
        results = list(p.predict(given, ordered=True))
    assert [each.ok for each in results] == [True] * 11 + [False] * 2
    assert results[10].label == "Trouser" and results[10].fetch_ms
    assert results[11].error.startswith("invalid_image: the bytes are not an image that can be read")
    assert results[12].error == f"no image file is at {tmp_path / 'none.png'}"


def test_archives_and_objects(cli: CommandLine, samples: Path, tmp_path: Path) -> None:
    archive = tmp_path / "photos.zip"
    with zipfile.ZipFile(archive, "w") as written:
        written.write(samples / "coat.tif", "in/coat.tif")
        written.write(samples / "labels.csv", "labels.csv")
    with storage.Client() as client:
        client.bucket("payloads").blob("python/bag.bmp").upload_from_filename(samples / "bag.bmp")
    with Predictions() as p:
        results = list(p.predict([archive, "gs://payloads/python/", "gs://none/", "gs://"], ordered=True))
    assert [each.label for each in results] == ["Coat", "Bag", "", ""]
    assert [each.file for each in results[:2]] == [f"{archive}/in/coat.tif", "gs://payloads/python/bag.bmp"]
    assert results[2].error == "gs://none cannot be listed: NotFound: the bucket none does not exist"
    assert results[3].error.startswith("'gs://' is no address of a bucket")


def test_an_explanation_and_an_unknown_model(cli: CommandLine, bag: bytes) -> None:
    with Predictions() as p:
        [explained] = p.predict(bag, explain=True)
        [refused] = p.predict(bag, model="resnet")
    assert explained.explanation and explained.explanation.png.startswith(b"\x89PNG")
    assert explained.explanation.label == explained.label == "Bag"
    assert refused.error_code == "unknown_model" and refused.explanation is None


def test_a_worker_that_is_down(cli: CommandLine, bag: bytes) -> None:
    topic, began = cli.topic("void-python"), time.monotonic()
    with Predictions(topic=topic, timeout_s=2) as p:
        results = list(p.predict([bag] * 20))
    assert {(each.status, each.error) for each in results} == {("missing", "no answer within 2 s")}
    assert time.monotonic() - began < 30, "all wait at the same time, not one after the other"


def test_a_standing_subscription_is_used_and_stays(cli: CommandLine, bag: bytes) -> None:
    path = cli.subscription("own-python", "res_predict")
    with Predictions(subscription="own-python") as p:
        assert cli.subscriptions() >= {"own-python"}
        assert [each.label for each in p.predict([bag, bag])] == ["Bag", "Bag"]
    cli.subscriber.delete_subscription(subscription=path)


def test_an_abandoned_call_leaves_the_client_usable(cli: CommandLine, bag: bytes) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield bag

    with Predictions() as p:
        for number, result in enumerate(p.predict(endless())):
            assert result.ok
            if number == 5:
                break
        assert [each.label for each in p.predict([bag] * 5)] == ["Bag"] * 5
        open_call = p.predict(endless())
        next(open_call)
    with pytest.raises(PredictionsError, match="this client is closed"):
        list(open_call)


def test_an_exception_deletes_the_subscription(cli: CommandLine, bag: bytes) -> None:
    before = cli.subscriptions()
    with pytest.raises(ZeroDivisionError), Predictions() as p:
        for _ in p.predict([bag] * 100):
            raise ZeroDivisionError
    assert cli.subscriptions() == before


def test_two_threads_get_their_own_results(cli: CommandLine, samples: Path) -> None:
    labels: dict[str, set[str]] = {}
    with Predictions() as p:

        def work(name: str) -> None:
            labels[name] = {each.label for each in p.predict([samples / name] * 50)}

        threads = [threading.Thread(target=work, args=[name]) for name in ("coat.tif", "bag.bmp")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert labels == {"coat.tif": {"Coat"}, "bag.bmp": {"Bag"}}


def test_an_http_endpoint(cli: CommandLine, twin: Twin, bag: bytes, samples: Path, root: Path) -> None:
    before = cli.subscriptions()
    with Predictions(url=twin.worker_url) as p:
        results = list(p.predict([samples, root / "README.md"], ordered=True, top_k=1))
        assert cli.subscriptions() == before
    assert [each.ok for each in results] == [True] * 10 + [False]
    assert all(len(each.predictions) == 1 for each in results[:10])
    with Predictions(url=f"{twin.worker_url}/nowhere") as p, pytest.raises(PredictionsError, match="answered HTTP 404"):
        list(p.predict([bag] * 100))


def test_what_does_not_exist_is_named_once(cli: CommandLine, bag: bytes) -> None:
    sentence = r"^it could not be published: NotFound: projects/local/topics/nope does not exist$"
    with Predictions(topic="nope") as p, pytest.raises(PredictionsError, match=sentence):
        list(p.predict([bag] * 100))
    sentence = r"^no subscription for responses can be created: NotFound: projects/local/topics/nope does not exist$"
    with pytest.raises(PredictionsError, match=sentence), Predictions(response_topic="nope"):
        pytest.fail("it is not open")


def test_what_does_not_answer_is_named_within_seconds(monkeypatch: pytest.MonkeyPatch, bag: bytes) -> None:
    host, began = f"127.0.0.1:{free_port()}", time.monotonic()
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", host)
    with (
        pytest.raises(PredictionsError, match=f"^PUBSUB_EMULATOR_HOST is {host}, and nothing answers there: "),
        Predictions("p"),
    ):
        pytest.fail("it is not open")
    with (
        Predictions(url=host) as p,
        pytest.raises(PredictionsError, match=f"^nothing answers at http://{host}/predict"),
    ):
        list(p.predict([bag] * 100))
    with SilentServer() as server:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", server.host)
        sentence = "^no subscription for responses can be created: .*no answer"
        with pytest.raises(PredictionsError, match=sentence), Predictions("p", timeout_s=1):
            pytest.fail("it is not open")
    assert time.monotonic() - began < 20


def test_a_subscription_that_disappears_ends_the_calls(cli: CommandLine, bag: bytes) -> None:
    before, topic = cli.subscriptions(), cli.topic("void-lost")
    with Predictions(topic=topic) as p:
        [own] = cli.subscriptions() - before
        threading.Timer(
            0.3, cli.subscriber.delete_subscription, kwargs={"subscription": f"projects/local/subscriptions/{own}"}
        ).start()
        for _ in range(2):
            with pytest.raises(PredictionsError, match=r"^responses can no longer be received: NotFound"):
                list(p.predict(bag))


@pytest.mark.slow
def test_closing_ends_what_is_being_sent(
    cli: CommandLine, bag: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = cli.subscriptions()
    ended: list[PredictionsError] = []
    with BlackholeProxy(os.environ["PUBSUB_EMULATOR_HOST"]) as proxy:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", proxy.host)
        with Predictions(timeout_s=10) as p:
            assert [each.ok for each in p.predict(bag)] == [True]

            def read() -> None:
                with pytest.raises(PredictionsError) as caught:
                    list(p.predict([bag] * 20))
                ended.append(caught.value)

            proxy.swallow()
            reader = threading.Thread(target=read)
            reader.start()
            assert until(sending)
            began = time.monotonic()
        reader.join(10)
        assert time.monotonic() - began < 25  # a publish alone would be retried for 20 s
        assert until(lambda: not sending())
    assert str(ended[0]).startswith("this client is closed: ")
    [left] = cli.subscriptions() - before
    [line] = caplog.messages
    cli.subscriber.delete_subscription(subscription=f"projects/local/subscriptions/{left}")
    assert f"{left} could not be deleted" in line


def test_tasks_and_their_cancellation(cli: CommandLine, bag: bytes, samples: Path) -> None:
    async def labels(p: AsyncPredictions, name: str) -> list[str]:
        return [each.label async for each in p.predict([samples / name] * 30)]

    async def main() -> None:
        async with AsyncPredictions() as p:
            found = await asyncio.gather(labels(p, "coat.tif"), labels(p, "bag.bmp"))
            assert [*found] == [["Coat"] * 30, ["Bag"] * 30]
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await _read_forever(p, bag)
            assert await labels(p, "bag.bmp") == ["Bag"] * 30
            [refused] = [each async for each in p.predict(b"no image")]
            assert refused.error_code == "invalid_image"
        task = asyncio.create_task(_open_and_wait())
        await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.wait([task])

    before = cli.subscriptions()
    asyncio.run(main(), debug=True)
    assert cli.subscriptions() == before


async def _read_forever(p: AsyncPredictions, image: bytes) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield image

    async for result in p.predict(endless()):
        assert result.ok


async def _open_and_wait() -> None:
    async with AsyncPredictions():
        await asyncio.sleep(60)
