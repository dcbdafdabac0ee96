"""How the job store keeps responses, and the row of results that it makes of an image's columns."""

from __future__ import annotations

import json
import time

from client.results.record import Record, rank, restored
from functions.messages.contract import Response

RECORD = "location, request_id, state, problem, trace_id, sent_at, answered_at, record"
"""The columns that `to_record` reads."""

NO_ANSWER, NOT_SENT = "no answer yet", "not sent yet"
"""The problems of rows without a response whose image was sent, and whose image was not."""


def to_columns(response: Response) -> tuple[str, int, str, float]:
    """Return the columns record, rank, error_code and answered_at of a response that arrives now."""
    record = Record.of_response(response)
    return json.dumps(record.to_row()), rank(record), record.error_code, time.time()


def to_record(
    is_answered: bool,
    location: str,
    request_id: str,
    state: str,
    problem: str,
    trace_id: str,
    sent_at: float | None,
    answered_at: float | None,
    text: str | None,
) -> Record:
    """Return the row of an image from its columns; `is_answered`: a response to it was requested."""
    if text is None:
        status = ("missing" if is_answered else "sent") if state == "sent" else "failed"
        default = {"missing": NO_ANSWER, "sent": "", "failed": NOT_SENT}[status]
        row = Record(request_id=request_id, status=status, problem=problem or default).to_row()
    else:
        row = json.loads(text)
    ms = round(max(0.0, 1000 * (answered_at - sent_at)), 1) if sent_at and answered_at else None
    own = {"file": json.loads(location), "client_ms": ms, "trace_id": trace_id or row["trace_id"]}
    return restored(row | own)
