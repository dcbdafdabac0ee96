"""One run of a command that sends images: the job that it works on, and how outcomes are shown."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from client.cli.arguments import MAX_NAME_LENGTH, MAX_NAMED, Arguments
from client.gcp import RETRY_S, Cloud, UsageError

if TYPE_CHECKING:
    from client.images import Image
    from client.jobs.job import Job
    from client.results.output import View
    from client.results.result_files import ResultFiles
    from client.sources.source import Source
    from client.transport.response_subscription import ResponseSubscription
    from functions.messages.contract import Response


class Session:
    """One run of a command over a job.

    `source` is None where the job is resumed and all its images are known. `is_kept`: whether the job outlives the
    command.
    """

    def __init__(self, arguments: Arguments, job: Job, source: Source | None, is_kept: bool = True) -> None:
        from client.jobs.event_log import EventLog
        from client.results.output import Messages
        from client.results.request_tracker import RequestTracker

        self.arguments, self.job, self.source, self.is_kept = arguments, job, source, is_kept
        self.tracker = RequestTracker()
        self.messages = Messages()
        self.log = EventLog(arguments.log, self.messages.show)
        self.files: ResultFiles | None = None
        self._subscription: ResponseSubscription | None = None
        self._attempted: dict[str, Image] = {}
        self._total: int | None = None

    def responses(self, cloud: Cloud) -> ResponseSubscription | None:
        """Return the subscription for the responses, not opened yet; None where no response is requested."""
        from client.transport.response_subscription import ResponseSubscription

        definition = self.job.definition
        if not definition.client_id:
            return None
        self._subscription = ResponseSubscription(
            cloud,
            self._receive,
            self.tracker.abort,
            self.messages.show,
            subscription=definition.subscription,
            client_id=definition.client_id,
            keep=self._is_unfinished,
            journal=self.job,
            retry_s=min(RETRY_S, self.arguments.timeout),
        )
        return self._subscription

    def await_earlier(self) -> None:
        """Await the responses to what an earlier command of this job sent, and let the rest be sent."""
        if not self.arguments.resume:
            return
        self._attempted = {image.request_id: image for image in self.job.attempted()}
        if unconfirmed := self.job.retry(unanswered=self.job.definition.command == "predict"):
            self.messages.show(f"{unconfirmed:,} images may have been sent without a confirmation, and are sent again")
        if self.job.definition.client_id:
            for image, request_id, trace_id in self.job.awaited():
                self.tracker.expect(request_id, image, trace_id=trace_id)

    def send_lost_again(self) -> None:
        """Let images be sent again whose responses are lost, because the job's subscription had to be created again."""
        if self.arguments.resume and self._subscription and self._subscription.is_new:
            if unanswered := self.job.counts().unanswered:
                self.messages.show(f"the job's subscription is gone: {unanswered:,} images are sent again")
            self.job.retry(unanswered=True)

    def images(self) -> Iterator[Image]:
        """Yield the images to send, at most --rate a second. Reads a bucket's listing page by page."""
        adding = self.job.add(self.source.images()) if self.source and not self.job.is_listed else iter(())
        rate, started, count, last = self.arguments.rate, time.monotonic(), 0, 0
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
        for request_id, tried in self._attempted.items():  # the response to an earlier try came before another one
            self.tracker.expect(request_id, tried)

    def view(self) -> View:
        """Return the view that shows the outcomes as they come."""
        from client.results.explanation_files import ExplanationFiles
        from client.results.output import JsonLines, Nothing, RequestIds

        arguments = self.arguments
        view: View = JsonLines() if arguments.as_json else RequestIds() if arguments.no_wait else Nothing()
        if folder := arguments.explanations:
            view = ExplanationFiles(view, self.messages, folder)
        if arguments.output:
            from client.results.result_files import ResultFiles, open_writers

            view = self.files = ResultFiles(view, open_writers(arguments.output, self.messages.show), self.messages)
            if arguments.resume:
                self.files.catch_up(self.job.answered_records)
        return view

    @property
    def total(self) -> int | None:
        """The number of the job's images, None while a bucket is still listed."""
        if self._total is None and self.job.is_listed:
            self._total = self.job.counts().total
        return self._total

    @property
    def awaits(self) -> bool:
        """Whether the command waits for responses."""
        return self.job.is_answered and not self.arguments.detached

    @property
    def shows_table(self) -> bool:
        """Whether a table is printed at the end."""
        arguments = self.arguments
        return not (arguments.as_json or arguments.no_wait or arguments.detached or arguments.quiet)

    @property
    def shows_progress(self) -> bool:
        """Whether there is a progress line: not where rows appear on the terminal as they arrive."""
        at_once = self.arguments.as_json or self.arguments.no_wait
        return not (at_once and sys.stdout.isatty())

    def left_out(self) -> str:
        """Return the count of files that were left out, by the ending of their names."""
        from client.text import printable
        from model.image_folder import counted

        return printable(counted(self.source.left_out)) if self.source else ""

    def no_image(self) -> UsageError:
        """Return the error of a command that names no image."""
        from client.text import printable

        assert self.source is not None
        problems, left_out = self.source.problems, self.left_out()
        named = "; ".join(text[:MAX_NAME_LENGTH] for text in problems[:MAX_NAMED])
        more = f"; and {len(problems) - MAX_NAMED:,} more" if len(problems) > MAX_NAMED else ""
        return UsageError(
            (named or f"no image file is at {printable(self.job.definition.described)}")
            + more
            + (f" (left out: {left_out})" if left_out else "")
        )

    def _receive(self, response: Response) -> None:
        """Take a response: into the job store first, because it is acked when this returns. Raises StoreError."""
        from client.text import StoreError, plain

        try:
            self.job.receive(response)
        except StoreError as exc:
            self.tracker.abort(plain(exc))
            raise
        self.tracker.receive(response)

    def _is_unfinished(self) -> bool:
        return self.is_kept and not self.job.is_cancelled and self.job.counts().unanswered > 0
