"""One run over a job: sends what is not sent yet, and takes the responses into the job store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager

from client.gcp import RETRY_S
from client.images import AnyImage, Image
from client.jobs.job import Job
from client.results.request_tracker import RequestTracker
from client.sources.source import AnySource
from client.text import StoreError, plain
from client.transport.broker import broker_of
from client.transport.receiving import Responses
from client.transport.topic import TopicTransport, inline_limit, open_topic
from functions.messages.contract import Response


class JobRun:
    """A run over a job, by a command or by a call of the Python API.

    `source` is None where the job is resumed and all its images are known. `show` prints a message. `is_kept`: whether
    the job outlives the process. `retry_s` limits the seconds for which calls about the subscription are retried.
    """

    def __init__(
        self,
        job: Job,
        source: AnySource | None,
        show: Callable[[str], None],
        *,
        is_resumed: bool = False,
        is_kept: bool = True,
        retry_s: float = RETRY_S,
    ) -> None:
        self.job, self.source, self.is_resumed, self.is_kept = job, source, is_resumed, is_kept
        self.tracker = RequestTracker()
        self._show, self._retry_s = show, min(RETRY_S, retry_s)
        self._subscription: Responses | None = None
        self._attempted: dict[str, Image] = {}

    def responses(self) -> Responses | None:
        """Return what receives the responses, not opened yet; None where no response is requested."""
        definition = self.job.definition
        if not definition.client_id:
            return None
        self._subscription = broker_of(definition.cloud).responses(
            self._receive,
            self.tracker.abort,
            self._show,
            subscription=definition.subscription,
            client_id=definition.client_id,
            keep=self._is_unfinished,
            journal=self.job,
            retry_s=self._retry_s,
        )
        return self._subscription

    def open_topic(self, environ: Mapping[str, str]) -> AbstractContextManager[TopicTransport]:
        """Return the transport that publishes the job's images, not opened yet. Raises UsageError."""
        made = self.job.definition
        return open_topic(
            made.cloud,
            self.tracker,
            self.responses(),
            options=made.options,
            payload_bucket=made.bucket,
            inline_limit=inline_limit(environ),
            ordering_key=made.ordering_key,
        )

    def await_earlier(self) -> None:
        """Await the responses to what an earlier run sent, and let the rest be sent."""
        self.let_wait_again()
        if self.is_resumed and self.job.definition.client_id:
            for image, request_id, trace_id in self.job.awaited():
                self._expect_earlier(request_id, image, trace_id)

    def let_wait_again(self) -> None:
        """Let the images of an earlier run be sent that were not sent; over HTTP also those without a response."""
        if not self.is_resumed:
            return
        self._attempted = {image.request_id: image for image in self.job.attempted()}
        if unconfirmed := self.job.retry(unanswered=self.job.definition.command == "predict"):
            self._show(f"{unconfirmed:,} images may have been sent without a confirmation, and are sent again")

    def send_lost_again(self) -> None:
        """Let images be sent again whose responses are lost, because the job's subscription had to be created again."""
        if self.is_resumed and self._subscription and self._subscription.is_new:
            if unanswered := self.job.counts().unanswered:
                self._show(f"the job's subscription is gone: {unanswered:,} images are sent again")
            self.job.retry(unanswered=True)

    def images(self, rate: float | None = None) -> Iterator[Image]:
        """Yield the images to send, at most `rate` a second. Reads a bucket's listing page by page."""
        if self.source and self.source.is_streamed:
            yield from self._streamed(self.source)
            return
        adding = self.job.add(self.source.images()) if self.source and not self.job.is_listed else iter(())
        started, count, last = time.monotonic(), 0, 0
        while True:
            for number, image in self.job.unsent(last):
                last = number
                self._attempted.pop(image.request_id, None)
                if rate:
                    time.sleep(max(0.0, started + count / rate - time.monotonic()))
                count += 1
                yield image
            if next(adding, None) is None:
                break
            self.job.save()
        self._expect_attempted()

    def _streamed(self, source: AnySource) -> Iterator[Image]:
        """Yield the images of a source one after the other, without those that were sent before."""
        read: list[AnyImage] = []

        def noted() -> Iterator[AnyImage]:
            for image in source.images():
                read.append(image)
                yield image

        for _ in self.job.add(noted(), 1):
            image = read.pop()
            state = self.job.state_of(image.request_id)
            if state and state[0] == "waiting":
                self._attempted.pop(image.request_id, None)
                yield image
        self._expect_attempted()

    def _expect_attempted(self) -> None:
        """Await what was tried and not sent again, because the response to an earlier try came before."""
        for request_id, tried in self._attempted.items():
            self._expect_earlier(request_id, tried)

    def _expect_earlier(self, request_id: str, image: Image, trace_id: str = "") -> None:
        """Await the response to what is not being sent now."""
        self.tracker.expect(request_id, image, trace_id=trace_id)
        self.tracker.sent(image)

    def _receive(self, response: Response) -> None:
        """Take a response: into the job store first, because it is acked when this returns. Raises StoreError."""
        try:
            self.job.receive(response)
        except StoreError as exc:
            self.tracker.abort(plain(exc))
            raise
        self.tracker.receive(response)

    def _is_unfinished(self) -> bool:
        return self.is_kept and not self.job.is_cancelled and self.job.counts().unanswered > 0
