"""The W3C trace context of a request, in HTTP headers and message attributes.

Format: "Trace Context" (W3C), header traceparent. Google's Pub/Sub clients with OpenTelemetry use the attribute
googclient_traceparent for the same value. This project writes both attributes, and reads Google's first, because a
client that publishes the message sets it last.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

HEADER = "traceparent"
GOOGLE = "googclient_"

_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_SAMPLED = 1


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A span in a trace, by ids of 32 and 16 lower-case hex digits. `sampled`: the caller may have recorded it."""

    trace_id: str
    span_id: str
    sampled: bool = False

    @classmethod
    def begin(cls) -> TraceContext:
        """Begin a new trace, marked as sampled."""
        return cls(secrets.token_hex(16), secrets.token_hex(8), True)

    @classmethod
    def parse(cls, text: str) -> TraceContext | None:
        """Parse a traceparent. Returns None for a value that the standard requires to be ignored."""
        found = _PARENT.fullmatch(text)
        if not found:
            return None
        version, trace_id, span_id, flags, rest = found.groups()
        # Only versions after 00 may append fields. An id of only zeros is invalid.
        if version == "ff" or (version == "00" and rest) or not int(trace_id, 16) or not int(span_id, 16):
            return None
        return cls(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))

    @classmethod
    def of(cls, attributes: Mapping[str, str]) -> TraceContext | None:
        """Return the trace context in a message's attributes or an object's metadata, or None."""
        for name in (GOOGLE + HEADER, HEADER):
            if name in attributes and (trace := cls.parse(attributes[name])):
                return trace
        return None

    @property
    def header(self) -> str:
        """The value of the traceparent header."""
        return f"00-{self.trace_id}-{self.span_id}-{_SAMPLED if self.sampled else 0:02x}"

    @property
    def attributes(self) -> dict[str, str]:
        """The message attributes."""
        return {HEADER: self.header, GOOGLE + HEADER: self.header}
