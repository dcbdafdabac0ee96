"""The client without asyncio: `with Predictions() as p: for result in p.predict(paths): ...`."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack

from client.api import job_work
from client.api.client import Client, place_of
from client.api.frames import image_cells, joined
from client.api.inputs import GivenImage, Images, Paths, images_of, paths_of
from client.api.options import Gather, RequestOptions, request_options
from client.api.result import Result
from client.api.stop import Stop
from client.api.submitted_job import SubmittedJob
from client.transport.base import SendOptions

if TYPE_CHECKING:
    from pandas import DataFrame


class Predictions(Client):
    """Sends images to the pipeline and returns their results; a context manager.

        with Predictions() as p:
            for result in p.predict(["shoe.png", "photos/", "more/*.jpg"], top_k=3):
                print(result.file, result.label if result.ok else result.error)

    One response subscription exists during the `with` statement. It is deleted at its end, also after an exception and
    Ctrl-C. Several threads may call `predict` at the same time.
    """

    def __enter__(self) -> Self:
        """Connect. Raises PredictionsError when nothing answers or a name is wrong."""
        self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def predict(
        self,
        images: Images,
        *,
        top_k: int | None = None,
        model: str | None = None,
        explain: bool = False,
        features: bool = False,
        expires_in_s: float | None = None,
        gather: Gather = 1,
        ordered: bool = False,
    ) -> Generator[Result, None, None]:
        """Send images and yield the result of each as it arrives, or with `ordered` in the order of the images.

        - `images`: a file, folder, glob, zip archive or gs:// address; the bytes of an encoded image; an iterable of
          these, which may be a generator that never ends; or a mapping from names to bytes. Other threads read the
          items of an iterable, at most 256 before their results are taken.
        - `top_k`: the number of labels for each image, 1 to 100; by default the worker's.
        - `model`: the name or digest of the model that must answer.
        - `explain`: whether each result has an explanation.
        - `features`: whether each result has features; the worker answers with an error if its model has none.
        - `expires_in_s`: seconds after which a request expires; at most a week, by default never.
        - `gather`: up to how many images share a message, 1 to 256, or `auto`: 32 of at most 16 kB.

        Sending begins with the first `next`. It ends when the iterator is closed or dropped.

        Raises TypeError or ValueError at once for wrong arguments. An image that fails is a result with an error. While
        iterating, raises PredictionsError when no result can arrive any more, and the exceptions of a generator of
        images after the results of its earlier images.
        """
        self._check_open()
        options = self._checked(request_options(top_k, model, explain, expires_in_s, features, gather))
        return self._results(images_of(images, self._list_objects), options, ordered)

    def predict_frame(self, frame: DataFrame, column: str = "file", **options: Unpack[RequestOptions]) -> DataFrame:
        """Predict one image for each row of a pandas DataFrame, and return a copy of it with the results.

        `column` holds paths of files or bytes of encoded images. The new columns are those of a results file but
        `file`. The options are those of `predict`. Raises ImportError without pandas, TypeError or ValueError for an
        unsuitable frame before anything is sent, and PredictionsError.
        """
        self._check_open()
        images = image_cells(frame, column)
        return joined(frame, list(self._results(images, self._checked(request_options(**options)), True)))

    def submit(
        self,
        images: Paths,
        *,
        top_k: int | None = None,
        model: str | None = None,
        features: bool = False,
        expires_in_s: float | None = None,
        gather: Gather = 1,
        state: str | os.PathLike[str] | None = None,
        on_start: Callable[[SubmittedJob], object] | None = None,
    ) -> SubmittedJob:
        """Publish images as a job, and return it when everything is sent, without waiting for the responses.

        The job store keeps what was sent and answered, so that another process can go on after a crash: with
        `job(id).resume()`, or on the command line. The job has a subscription of its own. This method, `job` and `jobs`
        need no `with` statement.

        - `images`: a file, folder, glob, zip archive or gs:// address, or an iterable of these, which is read first.
          Bytes are refused, because a job must be able to read its images again.
        - `top_k`, `model`, `features`, `expires_in_s`, `gather`: see `predict`.
        - `state`: the path of the job store; by default PREDICTIONS_STATE, or that of the command line.
        - `on_start`: called with the job when its images are known, before one is sent.

        Raises TypeError or ValueError for wrong arguments. Raises PredictionsError before anything is sent for a path
        without an image, and later, with the id of the job, when the broker does not answer or a topic is wrong. An
        image that cannot be read is counted in the job's `failed`.
        """
        options = request_options(top_k, model, expires_in_s=expires_in_s, features=features, gather=gather)
        paths, place = paths_of(images), place_of(state)
        definition = self._job_definition(paths, options)

        def start(job_id: str) -> None:
            if on_start:
                on_start(SubmittedJob(job_id, place))

        return SubmittedJob(job_work.submit(place, definition, paths, start, Stop()), place)

    def job(self, job_id: str, *, state: str | os.PathLike[str] | None = None) -> SubmittedJob:
        """Return the job with this id, or the newest for `last`; also one of the command line.

        Raises PredictionsError when there is none.
        """
        place = place_of(state)
        return SubmittedJob(job_work.find(place, job_id), place)

    def jobs(self, *, state: str | os.PathLike[str] | None = None) -> list[SubmittedJob]:
        """Return all jobs of the job store, the newest first; also those of the command line."""
        place = place_of(state)
        return [SubmittedJob(job_id, place) for job_id in job_work.job_ids(place)]

    def _results(
        self, images: Iterator[GivenImage], options: SendOptions, ordered: bool
    ) -> Generator[Result, None, None]:
        call = self._start(images, options, ordered)
        try:
            while not call.ended:
                if result := call.poll():
                    yield result
                else:
                    call.wait()
            call.raise_failure()
        finally:
            call.stop()
