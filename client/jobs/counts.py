"""The numbers of a job's images in each state."""

from __future__ import annotations

from collections.abc import Iterable
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

    @classmethod
    def of(cls, rows: Iterable[tuple[str, int, str, int]]) -> Counts:
        """Add up rows of state, rank, error code and number of images."""
        waiting = failed = unanswered = ok = 0
        errors: dict[str, int] = {}
        for state, rank, code, count in rows:
            if code:
                errors[code] = errors.get(code, 0) + count
            elif rank:
                ok += count
            elif state in ("waiting", "sending"):
                waiting += count
            elif state == "failed":
                failed += count
            else:
                unanswered += count
        return cls(waiting, failed, unanswered, ok, dict(sorted(errors.items())))

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
