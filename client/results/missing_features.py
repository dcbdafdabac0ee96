"""Says when the worker sent no features though they were requested: a view that wraps another one."""

from __future__ import annotations

from client.results.output import Messages, View
from client.results.request_tracker import Outcome

NO_FEATURES = "the worker sent no features; one of release 1.0.0 cannot"
"""The message about responses without features."""


class MissingFeatures:
    """Passes outcomes to `view`, and counts the predictions without features."""

    def __init__(self, view: View, messages: Messages) -> None:
        self._view, self._messages, self._count = view, messages, 0

    def add(self, outcome: Outcome) -> None:
        self._view.add(outcome)
        response = outcome.response
        self._count += response is not None and not response.error and response.features is None

    def close(self) -> None:
        self._view.close()
        if self._count:
            self._messages.show(f"{NO_FEATURES} ({self._count:,} images)")
