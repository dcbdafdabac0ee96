"""One run of a command that sends images: the job that it works on, and how outcomes are shown."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from client.cli.arguments import Arguments

if TYPE_CHECKING:
    from client.jobs.job import Job
    from client.results.output import View
    from client.results.result_files import ResultFiles
    from client.sources.source import AnySource


class Session:
    """One run of a command over a job.

    `source` is None where the job is resumed and all its images are known. `is_kept`: whether the job outlives the
    command.
    """

    def __init__(self, arguments: Arguments, job: Job, source: AnySource | None, is_kept: bool = True) -> None:
        from client.jobs.event_log import EventLog
        from client.jobs.job_run import JobRun
        from client.results.output import Messages

        self.arguments, self.job, self.source, self.is_kept = arguments, job, source, is_kept
        self.messages = Messages()
        self.job_run = JobRun(
            job,
            source,
            self.messages.show,
            is_resumed=bool(arguments.resume),
            is_kept=is_kept,
            retry_s=arguments.timeout,
        )
        self.tracker = self.job_run.tracker
        self.log = EventLog(arguments.log, self.messages.show)
        self.files: ResultFiles | None = None
        self._total: int | None = None

    def view(self) -> View:
        """Return the view that shows the outcomes as they come."""
        from client.results.explanation_files import ExplanationFiles
        from client.results.missing_features import MissingFeatures
        from client.results.output import JsonLines, Nothing, RequestIds

        arguments = self.arguments
        view: View = JsonLines() if arguments.as_json else RequestIds() if arguments.no_wait else Nothing()
        if folder := arguments.explanations:
            view = ExplanationFiles(view, self.messages, folder)
        if arguments.features and self.awaits:
            view = MissingFeatures(view, self.messages)
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
        from client.jobs.listing import left_out

        return left_out(self.source) if self.source else ""
