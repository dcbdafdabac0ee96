"""A job of the job store in the Python API, with and without asyncio."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from itertools import islice

from client.api import job_work
from client.api.job_status import JobStatus
from client.api.options import checked_seconds
from client.api.result import Result
from client.api.stop import Stop, in_thread

_PAGE = 1000
"""Results that a thread reads at a time for asyncio: few enough to hold, enough to need few threads."""


class _Job:
    """The identity of a job. It holds no connection, and stays usable after the client that made it."""

    def __init__(self, job_id: str, place: str) -> None:
        self._id, self._place = job_id, place

    @property
    def id(self) -> str:
        """The job's id, which the commands `predictions status`, `wait` and `cancel` take too."""
        return self._id

    def __repr__(self) -> str:
        """Show the id."""
        return f"{type(self).__name__}({self._id!r})"

    def __eq__(self, other: object) -> bool:
        """Compare the jobs, not their states."""
        return isinstance(other, type(self)) and (self._id, self._place) == (other._id, other._place)

    def __hash__(self) -> int:
        return hash((self._id, self._place))


class SubmittedJob(_Job):
    """A job: `Predictions.submit` makes one, and `Predictions.job` finds it again in another process.

    Every method reads the job store, so that it sees what other processes did. One process or thread at a time sends or
    receives for a job. All methods raise PredictionsError when the job store cannot be used or the job was removed.
    """

    def status(self) -> JobStatus:
        """Return how far the job is. Receives what has arrived first, which takes a second, while nobody else does."""
        return job_work.status(self._place, self._id)

    def wait(self, timeout_s: float | None = None) -> JobStatus:
        """Wait for the responses, and return how far the job is then.

        Ends when every image has its response, when no response has arrived for `timeout_s` seconds (by default there
        is no limit), when the job is cancelled, and when images are not sent but nobody sends them. The returned
        `complete` is True in the first case alone.

        Raises PredictionsError when no response can be received, and ValueError for a wrong `timeout_s`.
        """
        return job_work.wait(self._place, self._id, _limit(timeout_s), Stop())

    def results(self) -> Generator[Result, None, None]:
        """Yield the result of each image, in the order of the images, from the job store.

        An image without a response has the status `missing`, one that is not sent `failed`. No result has an
        explanation. Receives nothing: call `wait` before. Holds a thousand results in memory.
        """
        yield from job_work.results(self._place, self._id)

    def resume(self) -> None:
        """Send the images that were not sent, because a call of `submit` failed or its process ended.

        At most 16 images may be sent twice: those that were being sent at the end of a process. Each still has one
        result. Returns when everything is sent. Raises PredictionsError while another process sends the images, for a
        cancelled job, and when images cannot be sent.
        """
        job_work.resume(self._place, self._id, Stop())

    def cancel(self) -> JobStatus:
        """Send no more images, keep the responses that have arrived, and delete the job's subscription.

        A process that sends the images ends within seconds. The worker still scores what was sent.
        """
        return job_work.cancel(self._place, self._id)


class AsyncSubmittedJob(_Job):
    """`SubmittedJob` for asyncio. A cancelled task ends its call; what is in the job store stays."""

    async def status(self) -> JobStatus:
        """Return how far the job is; see `SubmittedJob.status`."""
        return await in_thread(lambda _: job_work.status(self._place, self._id))

    async def wait(self, timeout_s: float | None = None) -> JobStatus:
        """Wait for the responses; see `SubmittedJob.wait`."""
        limit = _limit(timeout_s)
        return await in_thread(lambda stop: job_work.wait(self._place, self._id, limit, stop))

    async def results(self) -> AsyncGenerator[Result, None]:
        """Yield the result of each image; see `SubmittedJob.results`."""
        results = job_work.results(self._place, self._id)
        try:
            while page := await in_thread(lambda _: list(islice(results, _PAGE))):
                for result in page:
                    yield result
        finally:
            results.close()

    async def resume(self) -> None:
        """Send the images that were not sent; see `SubmittedJob.resume`."""
        await in_thread(lambda stop: job_work.resume(self._place, self._id, stop))

    async def cancel(self) -> JobStatus:
        """Send no more images; see `SubmittedJob.cancel`."""
        return await in_thread(lambda _: job_work.cancel(self._place, self._id))


def _limit(timeout_s: float | None) -> float | None:
    return None if timeout_s is None else checked_seconds("timeout_s", timeout_s)
