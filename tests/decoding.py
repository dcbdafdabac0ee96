"""Decoded envelopes, of the class that a test expects."""

from __future__ import annotations

from functions.messages.contract import Envelope, Ignored, Rejected, Request
from functions.messages.request_decoder import decode


def requested(envelope: Envelope) -> Request:
    """The request in an envelope."""
    decoded = decode(envelope)
    assert isinstance(decoded, Request), decoded
    return decoded


def rejection(envelope: Envelope) -> str:
    """Why an envelope is rejected."""
    decoded = decode(envelope)
    assert isinstance(decoded, Rejected), decoded
    return decoded.reason


def ignored(envelope: Envelope) -> str | None:
    """Why an envelope is ignored, or None when it is not."""
    decoded = decode(envelope)
    return decoded.reason if isinstance(decoded, Ignored) else None
