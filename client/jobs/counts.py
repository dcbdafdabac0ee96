"""The numbers of a job's images in each state."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of images. Every image is in one of `waiting`, `failed`, `unanswered`, `ok` and `errors`.

    `waiting` is not sent yet, `failed` could not be sent, `unanswered` was sent and has no response. `errors` counts
    error responses by code.
    """

    waiting: int
    failed: int
    unanswered: int
    ok: int
    errors: dict[str, int]

    @property
    def answered(self) -> int:
        """The number of images with a response."""
        return self.ok + sum(self.errors.values())

    @property
    def sent(self) -> int:
        """The number of images that were sent."""
        return self.unanswered + self.answered

    @property
    def unsent(self) -> int:
        """The number of images that are not sent, or could not be sent."""
        return self.waiting + self.failed

    @property
    def total(self) -> int:
        """The number of images."""
        return self.unsent + self.sent
