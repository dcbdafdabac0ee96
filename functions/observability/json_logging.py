"""Writes each log record to stderr as a line of JSON for Cloud Logging ("Structured logging", Google Cloud)."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from datetime import UTC, datetime

from functions.messages.trace_context import TraceContext

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """Formats severity, time, message, the fields of `extra`, and the traceback.

    A `trace` in `extra` becomes the fields that link the line to the trace in `project`.
    """

    def __init__(self, project: str = "") -> None:
        super().__init__()
        self._prefix = f"projects/{project}/traces/" if project else ""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "severity": record.levelname,
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "message": record.getMessage(),
            "logger": record.name,
        }
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD and value is not None}
        if isinstance(trace := line.pop("trace", None), TraceContext):
            line["logging.googleapis.com/trace"] = self._prefix + trace.trace_id
            line["logging.googleapis.com/spanId"] = trace.span_id
            line["logging.googleapis.com/trace_sampled"] = trace.sampled
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        # ASCII only: fields hold untrusted input, such as file names, whose control characters could affect a terminal.
        return json.dumps(line, default=str)


def configure(level: str, project: str) -> None:
    """Send the worker's logs to stderr, and warnings and errors of libraries. A second call changes only the level."""
    logging.getLogger("functions").setLevel(level)
    logging.captureWarnings(True)
    # Pillow warns of each damaged tag of a file, and Python keeps each text: senders could fill the log and the memory.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    root = logging.getLogger()
    if not any(isinstance(handler.formatter, JsonLines) for handler in root.handlers):
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonLines(project))
        root.addHandler(handler)
