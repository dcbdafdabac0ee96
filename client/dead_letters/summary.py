"""What `list` shows of a dead letter, without its payload, so that thousands fit into memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from client.dead_letters.dead_letter import DeadLetter
from functions.messages.contract import encode_time
from model.text import size_text

UNKNOWN = "unknown"
"""The reason of a dead letter whose announcement does not state one, or is no longer there."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A dead letter without its payload. `size` is in bytes; `attempts` is 0 when Pub/Sub does not state them."""

    died_at: datetime
    attempts: int
    size: int
    request_id: str
    message_id: str
    file: str
    redrives: int | None
    reason: str

    @classmethod
    def of(cls, dead_letter: DeadLetter) -> Summary:
        request = dead_letter.request
        return cls(
            dead_letter.died_at,
            request.dead_letter_attempts,
            len(dead_letter.data),
            request.request_id,
            dead_letter.message_id,
            request.source.filename or request.source.image_uri or "",
            dead_letter.redrives,
            dead_letter.certain_reason or UNKNOWN,
        )

    def explained(self, reasons: Mapping[str, str]) -> Summary:
        """Return the summary with the reason of its announcement, unless the message itself shows one."""
        return replace(self, reason=reasons.get(self.request_id, UNKNOWN)) if self.reason == UNKNOWN else self

    def json(self, now: datetime) -> dict[str, Any]:
        """Return the fields of a JSON line; `age_s` is in seconds."""
        return {
            "request_id": self.request_id,
            "message_id": self.message_id,
            "died_at": encode_time(self.died_at),
            "age_s": round(max(0.0, (now - self.died_at).total_seconds()), 1),
            "attempts": self.attempts or None,
            "bytes": self.size,
            "file": self.file or None,
            "redriven": self.redrives,
            "reason": self.reason,
        }

    def row(self, now: datetime) -> tuple[str, ...]:
        """Return the cells of a table row under HEADINGS. They are not escaped."""
        age = age_text((now - self.died_at).total_seconds())
        return (age, str(self.attempts or "?"), size_text(self.size), self.request_id, self.file, self.reason)


HEADINGS = ("age", "attempts", "size", "request id", "file", "reason")


def age_text(seconds: float) -> str:
    """Return an age in its largest whole unit: `59s`, `3m`, `47h`, `6d`."""
    for unit, length, most in (("s", 1, 60), ("m", 60, 3600), ("h", 3600, 172_800)):
        if seconds < most:
            return f"{max(0, int(seconds / length))}{unit}"
    return f"{int(seconds / 86_400)}d"
