"""What the commands that send images share: their arguments, the job that they work on, and how outcomes are shown."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from client.cli import options
from client.cli.sending_options import given
from client.gcp import RETRY_S, Cloud, UsageError

if TYPE_CHECKING:
    from client.images import AnyImage, Image
    from client.jobs.definition import Definition
    from client.jobs.job import Job
    from client.results.output import View
    from client.results.result_files import ResultFiles
    from client.sources.source import AnySource, Source
    from client.transport.base import SendOptions
    from client.transport.response_subscription import ResponseSubscription
    from functions.messages.contract import Response


_MAX_NAMED, _MAX_NAME_LENGTH = 3, 120
"""Paths without an image that an error names, and characters of each."""


_SELECTION = ("paths", "lists", "column", "id_column", "include", "exclude")
_FIXED = ("project", "topic", "response_topic", "subscription", "bucket", "prefix", "url")
_OPTIONS = ("top_k", "model", "explain", "expires_in")
"""Parameters: what names images; what --resume must find in the job unchanged; what it cannot change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """The arguments of the commands that send images. Not every command has those with a default."""

    paths: Sequence[str]
    rate: float | None
    tries: int
    every: float
    state: Path | None
    unsent: Path | None
    log: Path | None
    lists: Sequence[str] = ()
    column: str = ""
    id_column: str = ""
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    top_k: int | None = None
    model: str | None = None
    expires_in: float | None = None
    resume: str | None = None
    as_json: bool = False
    output: Sequence[Path] = ()
    explain: bool = False
    explain_to: Path | None = None
    timeout: float = RETRY_S
    no_wait: bool = False
    detached: bool = False
    quiet: bool = False
    shown_as: str = ""

    @property
    def explanations(self) -> Path | None:
        """The folder for explanations, None when none is requested."""
        return self.explain_to or (options.EXPLANATIONS if self.explain else None)

    def request_options(self) -> SendOptions:
        """Return the options of each request."""
        from client.transport.base import SendOptions

        return SendOptions(self.top_k, self.model, self.expires_in, self.explanations is not None)

    def selection_values(self) -> dict[str, Any]:
        """Return the parameters that name and choose images."""
        return {name: getattr(self, name) for name in _SELECTION}

    def described(self) -> str:
        """Return the named images in a few words."""
        if self.shown_as:
            return self.shown_as
        named = [*self.paths, *(f"--from {name}" for name in self.lists)]
        more = f" and {len(named) - _MAX_NAMED:,} more" if len(named) > _MAX_NAMED else ""
        return " ".join(text[:_MAX_NAME_LENGTH] for text in named[:_MAX_NAMED]) + more


class Session:
    """One run of a command over a job.

    `source` is None where the job is resumed and all its images are known. `is_kept`: whether the job outlives the
    command.
    """

    def __init__(self, arguments: Arguments, job: Job, source: AnySource | None, is_kept: bool = True) -> None:
        from client.jobs.event_log import EventLog
        from client.results.output import Messages
        from client.results.request_tracker import RequestTracker

        self.arguments, self.job, self.source, self.is_kept = arguments, job, source, is_kept
        self.tracker = RequestTracker()
        self.messages = Messages()
        self.log = EventLog(arguments.log, self.messages.show)
        self.files: ResultFiles | None = None
        self._subscription: ResponseSubscription | None = None
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
            retry_s=min(RETRY_S, self.arguments.timeout),
        )
        return self._subscription

    def await_earlier(self) -> None:
        """Await the responses to what an earlier command of this job sent, and let the rest be sent."""
        if not self.arguments.resume:
            return
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
        if self.source and self.source.is_streamed:
            yield from self._streamed(self.source)
            return
        adding = self.job.add(self.source.images()) if self.source and self.source.is_listing else iter(())
        rate, started, count, last = self.arguments.rate, time.monotonic(), 0, 0
        while True:
            for number, image in self.job.unsent(last):
                last = number
                if rate:
                    time.sleep(max(0.0, started + count / rate - time.monotonic()))
                count += 1
                yield image
            if next(adding, None) is None:
                return

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
                yield image

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
        named = "; ".join(text[:_MAX_NAME_LENGTH] for text in problems[:_MAX_NAMED])
        more = f"; and {len(problems) - _MAX_NAMED:,} more" if len(problems) > _MAX_NAMED else ""
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


def named_images(definition: Definition) -> Source:
    """Return the images that the selection of a job names."""
    from client.sources.objects import object_lister
    from client.sources.selection import Selection
    from client.sources.source import Source

    lister = object_lister(Cloud(definition.project))
    return Source(Selection(**definition.selection), lister, prefix=definition.prefix)


@contextmanager
def open_session(
    arguments: Arguments, definition: Definition, make_source: Callable[[Definition], AnySource] = named_images
) -> Iterator[Session]:
    """Open the job store, and make a job of the images that the definition selects, or find the one to resume.

    Raises UsageError when the arguments name no image, or do not fit the job.
    """
    from client.cli.job_options import open_store

    with open_store(arguments.state, needed=bool(arguments.detached or arguments.resume)) as store:
        if arguments.resume:
            session = _resumed(arguments, store.find(arguments.resume), definition, make_source)
            yield session
            return
        source = make_source(definition)
        session = Session(arguments, store.create(definition), source, store.is_kept)
        try:
            if not source.is_listing:
                for _ in session.job.add(source.images()):
                    pass
                if not session.job.counts().total:
                    raise session.no_image()
        except BaseException:
            store.forget(session.job)  # nothing was sent
            raise
        yield session


def _resumed(
    arguments: Arguments, job: Job, definition: Definition, make_source: Callable[[Definition], AnySource]
) -> Session:
    """Return the session of an earlier job. Raises UsageError for arguments that contradict it."""
    from client.jobs.responses import check_place

    made = job.definition
    if made.command != definition.command:
        raise UsageError(f"job {job.id} was made by {made.command}: {made.way_on(job.id)}")
    if job.is_cancelled:
        raise UsageError(f"job {job.id} was cancelled; send its images in a new one")
    check_place(job)
    if given(_SELECTION):
        raise UsageError("--resume takes the images from the job: give no PATH and no --from with it")
    for name, flag in given(_FIXED).items():
        if getattr(made, name) != getattr(definition, name):
            raise UsageError(
                f"{flag} is {getattr(definition, name)!r}; job {job.id} has {getattr(made, name)!r}: leave it out"
            )
    if given(_OPTIONS):
        raise UsageError(f"{', '.join(given(_OPTIONS).values())}: the options of job {job.id} are fixed")
    arguments = replace(arguments, explain=made.options.explain)
    # A command that was ended may not have read all images, and the job store has no images that are streamed.
    is_complete = job.is_listed and make_source is named_images
    return Session(arguments, job, None if is_complete else make_source(made))
