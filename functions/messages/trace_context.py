"""The trace of a request: W3C trace context, read from and written to headers and message attributes.

Formats: "Trace Context" (W3C), header traceparent. Google's Pub/Sub clients with OpenTelemetry write and look for the
same value in the attribute googclient_traceparent; ours write both, and read theirs first: it is the newer one.
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
    """A place in a trace: 32 and 16 lower-case hex digits. `sampled`: the caller records the trace."""

    trace_id: str
    span_id: str
    sampled: bool = False

    @classmethod
    def begin(cls) -> TraceContext:
        """A new trace, with the request to record it."""
        return cls(secrets.token_hex(16), secrets.token_hex(8), True)

    @classmethod
    def parse(cls, text: str) -> TraceContext | None:
        """Read a traceparent; None where the standard requires that it is ignored."""
        found = _PARENT.fullmatch(text)
        if not found:
            return None
        version, trace_id, span_id, flags, rest = found.groups()
        # Only later versions may have more fields. Ids of zeros are invalid.
        if version == "ff" or (version == "00" and rest) or not int(trace_id, 16) or not int(span_id, 16):
            return None
        return cls(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))

    @classmethod
    def of(cls, attributes: Mapping[str, str]) -> TraceContext | None:
        """The trace in the attributes of a message or the metadata of an object."""
        read = (cls.parse(attributes.get(name, "")) for name in (GOOGLE + HEADER, HEADER))
        return next((trace for trace in read if trace), None)

    @property
    def header(self) -> str:
        """As a traceparent header."""
        return f"00-{self.trace_id}-{self.span_id}-{_SAMPLED if self.sampled else 0:02x}"

    @property
    def attributes(self) -> dict[str, str]:
        """As a message's attributes."""
        return {HEADER: self.header, GOOGLE + HEADER: self.header}
