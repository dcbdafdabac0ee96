"""The Python API for asyncio: results, asynchronous generators, cancellation."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, assert_type

import pytest

from client import AsyncPredictions, PredictionsError, Result
from client.api import client as api_client
from tests.memory_pipeline import Pipeline, by_content, names, sending
from tests.waiting import until


async def soon(condition: Callable[[], object]) -> bool:
    """Whether the condition comes true in time, while the event loop runs."""
    for _ in range(1000):
        if condition():
            return True
        await asyncio.sleep(0.01)
    return False


async def images_of(*contents: bytes) -> AsyncIterator[bytes]:
    for content in contents:
        await asyncio.sleep(0)
        yield content


async def endless() -> AsyncIterator[bytes]:
    for image in names():
        await asyncio.sleep(0)
        yield image


def test_async_results(pipeline: Pipeline) -> None:
    async def main() -> None:
        async with AsyncPredictions("p") as p:
            assert_type([each async for each in p.predict(b"Bag")], list[Result])
            labels = [each.label async for each in p.predict([b"Coat", b"Bag"], ordered=True, top_k=1)]
            assert labels == ["Coat", "Bag"]
            labels = [each.label async for each in p.predict(images_of(b"Coat", b"Bag"), ordered=True)]
            assert labels == ["Coat", "Bag"]
            with pytest.raises(TypeError, match="images is of the type int"):
                p.predict(3)  # type: ignore[arg-type]
            with pytest.raises(TypeError, match="image 1 is of the type int"):
                [each async for each in p.predict(images_of(b"Bag", 3))]  # type: ignore[arg-type]
        with pytest.raises(PredictionsError, match="this client is closed"):
            p.predict(b"Bag")

    before = set(threading.enumerate())
    asyncio.run(main(), debug=True)
    assert until(lambda: set(threading.enumerate()) <= before), "a thread was left behind"


def test_tasks_have_their_own_calls(pipeline: Pipeline) -> None:
    async def work(p: AsyncPredictions, number: int) -> list[str]:
        return [each.label async for each in p.predict([str(number).encode()] * 50)]

    async def main() -> list[list[str]]:
        async with AsyncPredictions("p") as p:
            return await asyncio.gather(*(work(p, number) for number in range(20)))

    assert asyncio.run(main()) == [[str(number)] * 50 for number in range(20)]


@pytest.mark.parametrize("images", [names, endless], ids=["a generator", "an asynchronous generator"])
def test_a_cancelled_task_ends_its_call(pipeline: Pipeline, images: Callable[[], Any]) -> None:
    async def main() -> None:
        async with AsyncPredictions("p") as p:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    async for _ in p.predict(images()):
                        await asyncio.sleep(0)
            pipeline.answer = lambda image: None  # silent: the task waits when it is cancelled
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    async for _ in p.predict(images()):
                        pass
            pipeline.answer = by_content
            async with aclosing(p.predict(images())) as results:
                async for _ in results:
                    break
            assert await soon(lambda: not sending()), "the threads of an ended call go on"
            assert [each.label async for each in p.predict(b"Bag")] == ["Bag"]

    before = set(threading.enumerate())
    asyncio.run(main(), debug=True)
    assert until(lambda: set(threading.enumerate()) <= before), "a thread was left behind"


def test_a_waiting_asynchronous_generator_is_cancelled_with_its_call(pipeline: Pipeline) -> None:
    ended = []

    async def quiet() -> AsyncIterator[bytes]:
        try:
            yield b"Bag"
            await asyncio.sleep(3600)
        finally:
            ended.append(True)

    async def main() -> None:
        async with AsyncPredictions("p") as p:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(None) as limit:
                    async for each in p.predict(quiet()):
                        assert each.label == "Bag"
                        limit.reschedule(asyncio.get_running_loop().time() + 0.1)
            assert await soon(lambda: ended and not sending())

    before = set(threading.enumerate())
    asyncio.run(main(), debug=True)
    assert until(lambda: set(threading.enumerate()) <= before), "a thread was left behind"


def test_a_client_whose_opening_is_cancelled_is_closed(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    may_open, events = threading.Event(), []

    class Slow:
        def __enter__(self) -> Any:
            may_open.wait(10)
            events.append("opened")
            return pipeline.transport

        def __exit__(self, *_: object) -> None:
            events.append("closed")

    monkeypatch.setattr(api_client, "connection_to", lambda *_, **__: Slow())

    async def main() -> None:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05), AsyncPredictions("p"):
                pytest.fail("it is not open")
        assert time.monotonic() - began < 5
        may_open.set()

    asyncio.run(main())
    assert events == ["opened", "closed"]
