"""One job of the page: sends its images as they are uploaded, and takes their responses into the job store."""

from __future__ import annotations

import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import ExitStack

from client.images import Image
from client.jobs.hold import held
from client.jobs.job import Job
from client.results.record import Record
from client.results.request_tracker import Outcome
from client.text import StoreError, plain
from client.transport.base import Sent
from client.web.connection import connected
from client.web.page_files import PageFiles, UploadedImage
from client.web.settings import Settings
from functions.errors import UNAVAILABLE
from functions.messages.contract import Response

OnRow = Callable[[Job, int, str, Record], None]
"""Gets a row that changed: its job, number, key and record."""

OnAnswer = Callable[[Response | None, str], None]
"""Gets the response to one image, or None and the problem."""

_MAX_EARLY = 1000
"""Responses kept for uploads whose request id is not known yet."""

_STOP_S = 5.0
"""Seconds that closing waits for images that are being sent."""


class Run:
    """Sends images with the transport's threads, which are daemons. Other threads may call all methods."""

    def __init__(self, job: Job, settings: Settings, files: PageFiles, on_row: OnRow) -> None:
        self.job, self._settings, self._files, self._on_row = job, settings, files, on_row
        self.ended = ""
        """Why the job can receive no more responses."""
        self.used_at = time.monotonic()
        self._changing, self._showing = threading.Lock(), threading.Lock()
        self._images: dict[str, tuple[int, UploadedImage]] = {}
        self._keys: dict[str, str] = {}
        self._early: OrderedDict[str, Response] = OrderedDict()
        self._waiters: dict[str, OnAnswer] = {}
        self._queue: queue.SimpleQueue[UploadedImage | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._opened = ExitStack()
        self._stopping = False

    def open(self, *, is_resumed: bool = False, chosen: Iterable[int] | None = None) -> set[int]:
        """Connect, and begin to send. Raises UsageError, SendError and Google's exceptions.

        `chosen`: the only images of a resumed job that are sent again. Without it, all that are not sent are. Returns
        those of them that are sent.
        """
        with ExitStack() as stack:
            stack.enter_context(held(self.job, self._end))
            if is_resumed:
                self._remember()
            connection = stack.enter_context(connected(self.job, self._settings, self, self._receive, self._end))
            transport = connection.transport
            for _ in self.job.add([]):  # all images are known, now and after each one that is added
                pass
            self._threads = [
                threading.Thread(target=self._work, args=[transport.send], name=f"web-{number}", daemon=True)
                for number in range(transport.threads)
            ]
            for thread in self._threads:
                thread.start()
            if chosen is None and is_resumed:
                lost = connection.is_new or self.job.definition.command == "predict"
                self._send_rest(unanswered=lost)
            again = self.again(chosen or ())
            self._opened = stack.pop_all()
        return again

    def add(self, image: UploadedImage, on_answer: OnAnswer | None = None) -> int:
        """Send an image, and return its number in the job. Raises StoreError."""
        with self._changing:
            self.used_at = time.monotonic()
            [number] = self.job.add([image])
            self._images[image.request_id] = number, image
            if on_answer:
                self._waiters[image.request_id] = on_answer
        self._changed(image.request_id)
        self._queue.put(image)
        return number

    def again(self, numbers: Iterable[int]) -> set[int]:
        """Send those of these images again that could not be sent or got the error `unavailable`; returns them.

        Raises StoreError.
        """
        with self._changing:
            self.used_at = time.monotonic()
            found = self.job.again(numbers)
            self._remember()
            images = [self._images[stored.request_id][1] for n, stored in self.job.unsent() if n in found]
        for image in images:
            self._changed(image.request_id)
            self._queue.put(image)
        return found

    def is_idle(self, seconds: float) -> bool:
        """Whether everything is answered, and no image was added for so long."""
        counts = self.job.counts()
        return not (counts.waiting or counts.unanswered) and time.monotonic() - self.used_at > seconds

    def stop(self) -> None:
        """Begin no more sending."""
        self._stopping = True
        for _ in self._threads:
            self._queue.put(None)

    def close(self) -> None:
        """End. What is not sent or not answered stays in the job store, for the next start."""
        self.stop()
        until = time.monotonic() + _STOP_S
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        self._opened.close()

    # What the transport reports

    def expect(self, request_id: str, image: Image, sent_at: float | None = None, trace_id: str = "") -> None:
        """Remember which image a request id belongs to."""
        with self._changing:
            self._keys[request_id] = image.request_id

    def settle(self, outcome: Outcome) -> None:
        """Take the response of an HTTP request."""
        self.job.end(outcome)
        if outcome.response:
            self._answered(outcome.image.request_id, outcome.response)

    def _receive(self, response: Response) -> None:
        """Take a response, which is acked when this returns. Raises StoreError."""
        try:
            self.job.receive(response)
        except StoreError as exc:
            self._end(plain(exc))
            raise
        with self._changing:
            key = self._keys.get(response.request_id)
            if key is None:
                self._early[response.request_id] = response
                if len(self._early) > _MAX_EARLY:
                    self._early.popitem(last=False)
                return
        self._answered(key, response)

    def _answered(self, key: str, response: Response) -> None:
        number, _ = self._images[key]
        if response.explanation:
            self._files.write(self.job.id, number, "explanation", response.explanation.png)
        self._changed(key)
        if not response.error or response.error.code != UNAVAILABLE:
            self._files.drop_image(key)
        if waiter := self._waiters.pop(key, None):
            waiter(response, "")

    def _end(self, reason: str) -> None:
        self.ended = self.ended or reason

    # The threads that send

    def _work(self, send: Callable[[Image], Sent]) -> None:
        while (image := self._queue.get()) and not (self.ended or self._stopping):
            try:
                self._send(send, image)
            except StoreError as exc:
                self._end(plain(exc))

    def _send(self, send: Callable[[Image], Sent], image: UploadedImage) -> None:
        key = image.request_id
        self.job.sending(image)
        sent_at = time.time()
        try:
            sent = send(image)
        except Exception as exc:  # one image's failure does not affect the others
            problem = plain(exc)
            self.job.end(Outcome(image, key, problem=problem))
            if waiter := self._waiters.pop(key, None):
                waiter(None, problem)
        else:
            self.job.sent(image, sent, sent_at)
            with self._changing:
                self._keys[sent.request_id] = key
                early = self._early.pop(sent.request_id, None)
            if early:
                self._answered(key, early)
        self._changed(key)

    def _changed(self, key: str) -> None:
        with self._showing:  # a thread that has read an older state must not show it after a newer one
            if record := self.job.record_of(key):
                self._on_row(self.job, self._images[key][0], key, record)

    # Resuming

    def _remember(self) -> None:
        """Find the images of an earlier run that have no response."""
        awaited = [(image, request_id) for image, request_id, _ in self.job.awaited()]
        others = [*self.job.attempted(), *(image for _, image in self.job.unsent())]
        for image, request_id in [*awaited, *((image, image.request_id) for image in others)]:
            key = image.request_id
            record = self.job.record_of(key)
            assert record
            self._images[key] = self.job.number_of(key), self._files.image(key, record.file)
            self._keys[request_id] = key

    def _send_rest(self, *, unanswered: bool) -> None:
        self.job.retry(unanswered=unanswered)
        for _, stored in self.job.unsent():
            self._queue.put(self._images[stored.request_id][1])
