"""What publish, upload and predict share: their arguments, the images, and how outcomes are shown."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from client.cli import options
from client.gcp import RETRY_S, Cloud, UsageError

if TYPE_CHECKING:
    from client.results.output import View
    from client.results.result_files import ResultFiles
    from client.transport.base import SendOptions
    from client.transport.response_subscription import ResponseSubscription


_MAX_NAMED, _MAX_NAME_LENGTH = 3, 120
"""Paths without an image that an error names, and characters of each."""


@dataclass(frozen=True, slots=True)
class Arguments:
    """The arguments that publish, upload and predict share."""

    paths: Sequence[str]
    as_json: bool
    top_k: int | None
    model: str | None
    explain: bool
    explain_to: Path | None
    expires_in: float | None
    timeout: float
    unsent: Path | None
    output: Sequence[Path] = ()
    no_wait: bool = False

    @property
    def explanations(self) -> Path | None:
        """The folder for explanations, None when none is requested."""
        return self.explain_to or (options.EXPLANATIONS if self.explain else None)

    def request_options(self) -> SendOptions:
        """Return the options of each request."""
        from client.transport.base import SendOptions

        return SendOptions(self.top_k, self.model, self.expires_in, self.explanations is not None)


class Session:
    """What one command sends and how it reports. Raises UsageError when the paths name no image."""

    def __init__(self, arguments: Arguments, prefix: str = "") -> None:
        from client.image_files import expand
        from client.results.output import Messages
        from client.results.request_tracker import RequestTracker
        from client.text import printable
        from client.unique_names import unique_names
        from model.image_folder import by_suffix

        self.arguments = arguments
        expanded = expand(arguments.paths)
        self.images, self.unmatched = list(unique_names(expanded.images, prefix)), expanded.unmatched
        self.left_out = printable(by_suffix(expanded.left_out))
        if not self.images:
            left_out = f" (left out: {self.left_out})" if self.left_out else ""
            more = f" and {len(self.unmatched) - _MAX_NAMED:,} more" if len(self.unmatched) > _MAX_NAMED else ""
            named = ", ".join(printable(text[:_MAX_NAME_LENGTH]) for text in self.unmatched[:_MAX_NAMED])
            raise UsageError(f"no image file is at {named}{more}{left_out}")
        self.tracker = RequestTracker()
        self.messages = Messages()
        self.files: ResultFiles | None = None

    def responses(self, cloud: Cloud, subscription: str) -> ResponseSubscription | None:
        """Return the subscription for the responses, not opened yet; None with --no-wait."""
        from client.transport.response_subscription import ResponseSubscription

        if self.arguments.no_wait:
            if subscription:
                raise UsageError("--no-wait receives nothing, so --subscription cannot be used with it")
            return None
        return ResponseSubscription(
            cloud,
            self.tracker.receive,
            self.tracker.abort,
            self.messages.show,
            subscription=subscription,
            retry_s=min(RETRY_S, self.arguments.timeout),
        )

    def view(self) -> View:
        """Return the view that shows the outcomes."""
        from client.results.explanation_files import ExplanationFiles
        from client.results.output import JsonLines, RequestIds, Table

        arguments = self.arguments
        view: View
        if arguments.as_json:
            view = JsonLines()
        elif arguments.no_wait:
            view = RequestIds()
        else:
            view = Table([image.location for image in self.images], all_labels=(arguments.top_k or 1) > 1)
        folder = arguments.explanations
        if folder:
            view = ExplanationFiles(view, self.messages, folder)
        if arguments.output:
            from client.results.result_files import ResultFiles, open_writers

            view = self.files = ResultFiles(view, open_writers(arguments.output, self.messages.show), self.messages)
        return view

    @property
    def shows_progress(self) -> bool:
        """Whether there is a progress line: not where rows appear on the terminal as they arrive."""
        at_once = self.arguments.as_json or self.arguments.no_wait
        return not (at_once and sys.stdout.isatty())
