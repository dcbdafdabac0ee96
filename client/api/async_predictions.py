"""The client for asyncio: `async with AsyncPredictions() as p: async for result in p.predict(paths): ...`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack

from client.api import job_work
from client.api.async_source import AsyncSource
from client.api.client import Client, place_of
from client.api.frames import image_cells, joined
from client.api.inputs import GivenImage, Images, Paths, Source, images_of, paths_of
from client.api.options import Gather, RequestOptions, request_options
from client.api.result import Result
from client.api.stop import in_thread
from client.api.submitted_job import AsyncSubmittedJob
from client.transport.base import SendOptions

if TYPE_CHECKING:
    from pandas import DataFrame


class AsyncPredictions(Client):
    """`Predictions` for asyncio; an asynchronous context manager.

        async with AsyncPredictions() as p:
            async for result in p.predict("photos/"):
                print(result.file, result.label if result.ok else result.error)

    Images are read and sent by threads, so that the event loop never waits for them. A cancelled task ends its call;
    `asyncio.timeout` may surround everything. Several tasks may call `predict` at the same time.
    """

    async def __aenter__(self) -> Self:
        """Connect. Raises PredictionsError when nothing answers or a name is wrong."""
        loop = asyncio.get_running_loop()
        try:
            await asyncio.shield(loop.run_in_executor(None, self._open))
        except asyncio.CancelledError:
            loop.run_in_executor(None, self._close)  # waits in its thread until `_open` has ended
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, self._close))

    def predict(
        self,
        images: Images | AsyncIterable[Source],
        *,
        top_k: int | None = None,
        model: str | None = None,
        explain: bool = False,
        features: bool = False,
        expires_in_s: float | None = None,
        gather: Gather = 1,
        ordered: bool = False,
    ) -> AsyncGenerator[Result, None]:
        """Send images and yield the result of each; see `Predictions.predict`.

        `images` may also be an asynchronous iterable, which the event loop reads. Break out of the loop within
        `contextlib.aclosing` where sending must end at once.
        """
        self._check_open()
        options = self._checked(request_options(top_k, model, explain, expires_in_s, features, gather))
        if isinstance(images, AsyncIterable):
            source = AsyncSource(images, asyncio.get_running_loop())
            return self._results(images_of(source, self._list_objects), options, ordered, source)
        return self._results(images_of(images, self._list_objects), options, ordered)

    async def predict_frame(
        self, frame: DataFrame, column: str = "file", **options: Unpack[RequestOptions]
    ) -> DataFrame:
        """Predict one image for each row of a pandas DataFrame; see `Predictions.predict_frame`."""
        self._check_open()
        images, asked = image_cells(frame, column), self._checked(request_options(**options))
        return joined(frame, [result async for result in self._results(images, asked, True)])

    async def submit(
        self,
        images: Paths,
        *,
        top_k: int | None = None,
        model: str | None = None,
        features: bool = False,
        expires_in_s: float | None = None,
        gather: Gather = 1,
        state: str | os.PathLike[str] | None = None,
        on_start: Callable[[AsyncSubmittedJob], object] | None = None,
    ) -> AsyncSubmittedJob:
        """Publish images as a job; see `Predictions.submit`.

        The event loop calls `on_start`. Cancelling the task ends the sending; the job stays, for `resume`.
        """
        options = request_options(top_k, model, expires_in_s=expires_in_s, features=features, gather=gather)
        paths, place = paths_of(images), place_of(state)
        definition = self._job_definition(paths, options)
        loop = asyncio.get_running_loop()

        def start(job_id: str) -> None:
            if on_start:
                loop.call_soon_threadsafe(on_start, AsyncSubmittedJob(job_id, place))

        job_id = await in_thread(lambda stop: job_work.submit(place, definition, paths, start, stop))
        return AsyncSubmittedJob(job_id, place)

    async def job(self, job_id: str, *, state: str | os.PathLike[str] | None = None) -> AsyncSubmittedJob:
        """Return the job with this id, or the newest for `last`; see `Predictions.job`."""
        place = place_of(state)
        return AsyncSubmittedJob(await in_thread(lambda _: job_work.find(place, job_id)), place)

    async def jobs(self, *, state: str | os.PathLike[str] | None = None) -> list[AsyncSubmittedJob]:
        """Return all jobs of the job store, the newest first; see `Predictions.jobs`."""
        place = place_of(state)
        return [AsyncSubmittedJob(job_id, place) for job_id in await in_thread(lambda _: job_work.job_ids(place))]

    async def _results(
        self, images: Iterator[GivenImage], options: SendOptions, ordered: bool, source: AsyncSource | None = None
    ) -> AsyncGenerator[Result, None]:
        loop, changed = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop may be closed when the last thread of an abandoned call ends
                loop.call_soon_threadsafe(changed.set)

        call = self._start(images, options, ordered, wake)
        try:
            while not call.ended:
                changed.clear()
                if result := call.poll():
                    yield result
                else:
                    # `asyncio.wait_for` of Python 3.11 loses a cancellation at the moment of the change.
                    with suppress(TimeoutError):
                        async with asyncio.timeout(call.wait_s()):
                            await changed.wait()
            call.raise_failure()
        finally:
            call.stop()
            if source:
                source.close()
