"""Which trace a request belongs to: W3C trace context, read from and written to headers and message attributes.

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
    """A place in a trace: 32 and 16 lower-case hex digits. `sampled`: who came before keeps the trace."""

    trace_id: str
    span_id: str
    sampled: bool = False

    @classmethod
    def begin(cls) -> TraceContext:
        """A trace of its own, which whoever records traces is asked to keep."""
        return cls(secrets.token_hex(16), secrets.token_hex(8), True)

    @classmethod
    def parse(cls, text: str) -> TraceContext | None:
        """Read a traceparent; None where the standard says that it must be ignored."""
        found = _PARENT.fullmatch(text)
        if not found:
            return None
        version, trace_id, span_id, flags, rest = found.groups()
        # Later versions may say more; this one may not. Nothing but zeros is nobody.
        if version == "ff" or (version == "00" and rest) or not int(trace_id, 16) or not int(span_id, 16):
            return None
        return cls(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))

    @classmethod
    def of(cls, attributes: Mapping[str, str]) -> TraceContext | None:
        """The trace that a message's attributes or an object's metadata name."""
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
