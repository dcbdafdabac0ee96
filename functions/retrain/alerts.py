"""Turns an incident of Cloud Monitoring, which the drift alert sends to req_train, into the operator's request.

An incident has the JSON of a notification channel of type `pubsub`: `incident` with `incident_id` and `state`.
"""

from __future__ import annotations

import json
from dataclasses import replace

from functions.messages.contract import Envelope
from functions.messages.training import MAX_BYTES

OPEN = "open"
"""The state of an incident that has begun. When it ends there is a second message, with the state `closed`."""


def from_alert(envelope: Envelope, request: str) -> Envelope | None:
    """Return the message, or for an incident that has begun `request`; None for an incident that has ended.

    The id of the request is that of the incident, so that two notifications of it train once. Without a `request` an
    incident stays as it is, and is refused like any other message that is no request.
    """
    incident = _incident(envelope.payload)
    if incident is None or not request:
        return envelope
    if incident.get("state") != OPEN:
        return None
    return replace(
        envelope,
        payload=request.encode(),
        attributes={"request_id": f"incident-{incident.get('incident_id') or envelope.id}"},
    )


def _incident(payload: bytes) -> dict[str, object] | None:
    try:
        body = json.loads(payload) if len(payload) <= MAX_BYTES else None
    except (ValueError, RecursionError):
        return None
    incident = body.get("incident") if isinstance(body, dict) else None
    return incident if isinstance(incident, dict) else None
