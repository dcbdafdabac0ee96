"""The row of a results file: one image or request with its response, and the conversion to and from plain values."""

from __future__ import annotations

import base64
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from client.results.request_tracker import Outcome
from functions.errors import UNAVAILABLE
from functions.messages.contract import Response
from model.errors import ImageTooLarge, InvalidImage, UnsupportedFormat
from model.labels import Prediction, assigned
from model.text import quoted

STATUSES = ("ok", "error", "missing", "failed", "sent")
"""`ok`: predictions; `error`: an error response; `missing`: sent, no response; `failed`: not sent; `sent`: no response
was requested."""

IMAGE_ERRORS = frozenset(kind.code for kind in (InvalidImage, ImageTooLarge, UnsupportedFormat))
"""Codes of the errors that are about the image itself: the worker refused it, and a retry is refused too."""

NO_LABEL = "no label"
"""What is shown for an image to which a multi-label model gives no label."""

_RANKS = {"ok": 3, "error": 2, "sent": 0, "missing": 0, "failed": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One row. Times are milliseconds; text that does not apply is empty, and a number that does not apply is None.

    `file` is the path on the command line, or the name that a response states. `predictions` are the top-k labels,
    best first; `label` and `score` repeat the first. `labels` are those that the image has by a multi-label model, and
    None for other models. `problem` is a problem on the client's side. `client_ms` lasts from sending to receiving; the
    other times are those of the worker. `features` is base64 of float16 numbers, where they were requested. Characters
    that UTF-8 cannot encode are escaped.
    """

    file: str = ""
    request_id: str = ""
    status: str = "sent"
    label: str = ""
    score: float | None = None
    predictions: tuple[Prediction, ...] = ()
    labels: tuple[str, ...] | None = None
    error_code: str = ""
    error_message: str = ""
    problem: str = ""
    client_ms: float | None = None
    queue_ms: float | None = None
    fetch_ms: float | None = None
    decode_ms: float | None = None
    predict_ms: float | None = None
    total_ms: float | None = None
    delivery_attempt: int | None = None
    model_name: str = ""
    model_version: str = ""
    model_digest: str = ""
    engine: str = ""
    completed_at: str = ""
    trace_id: str = ""
    features: str = ""

    @classmethod
    def of_outcome(cls, outcome: Outcome) -> Record:
        """Return the row of an image that this client sent, or could not send."""
        here = {"file": outcome.image.location, "trace_id": outcome.trace_id, "problem": outcome.problem}
        if outcome.response:
            ms = round(outcome.ms, 1)
            return _made(_values(outcome.response) | here | {"client_ms": ms})
        status = "missing" if outcome.missing else "failed" if outcome.problem else "sent"
        return _made(here | {"request_id": outcome.request_id, "status": status})

    @classmethod
    def of_response(cls, response: Response) -> Record:
        """Return the row of a response, whichever client sent the request."""
        source, trace = response.source, response.trace
        return _made(
            _values(response)
            | {"file": source.filename or source.image_uri or "", "trace_id": trace.trace_id if trace else ""}
        )

    @property
    def answered(self) -> bool:
        """Whether the row has predictions."""
        return self.status == "ok" and bool(self.label)

    @property
    def assigned(self) -> tuple[tuple[str, float | None], ...]:
        """The labels that the image has, with their scores; None for a score that is not among the predictions."""
        if self.labels is None:
            return ((self.label, self.score),) if self.label else ()
        return assigned(self.predictions, self.labels)

    @property
    def answer(self) -> str:
        """What the model says about the image: its label, or its labels in alphabetical order."""
        return self.label if self.labels is None else ", ".join(sorted(self.labels)) or NO_LABEL

    def to_row(self) -> dict[str, Any]:
        """Return the row by column. `predictions` is a list of objects with label and score."""
        row = {name: getattr(self, name) for name in COLUMNS}
        predictions = [{"label": p.label, "score": p.score} for p in self.predictions]
        return row | {"predictions": predictions, "labels": None if self.labels is None else list(self.labels)}


COLUMNS = tuple(field.name for field in fields(Record))
NUMBERS = ("score", "client_ms", "queue_ms", "fetch_ms", "decode_ms", "predict_ms", "total_ms")
WHOLE_NUMBERS = ("delivery_attempt",)

_MAX_WHOLE = 2**63 - 1
"""The largest whole number that every format can hold."""

_REPEATED = ("status", "label", "error_code", "model_name", "model_version", "model_digest", "engine")
"""Columns with few different texts. A million rows share them, which saves a third of their memory."""


def to_cells(record: Record) -> dict[str, Any]:
    """Return the row for a table: like `to_row`, with `predictions` and `labels` as JSON text; "" for no `labels`."""
    row = record.to_row()
    texts = {name: json.dumps(row[name], separators=(",", ":")) for name in ("predictions", "labels")}
    return row | texts | ({"labels": ""} if record.labels is None else {})


def check_columns(names: Sequence[str]) -> None:
    """Raise ValueError when these columns of a file are not those of a results file; others may be among them."""
    if len(set(names)) != len(names):
        raise ValueError("a column name occurs twice")
    if lacking := [name for name in COLUMNS if name not in names]:
        raise ValueError(f"the column {lacking[0]} is missing; predictions publish --output writes such files")


def from_row(row: Mapping[str, Any]) -> Record:
    """Return the record of a row. `predictions` and `labels` may be JSON text. Raises ValueError with the column."""
    if lacking := [name for name in COLUMNS if name not in row]:
        raise ValueError(f"the column {lacking[0]} is missing; the columns are {', '.join(COLUMNS)}")
    values: dict[str, Any] = {name: row[name] for name in COLUMNS}
    for name in COLUMNS:
        if name in NUMBERS or name in WHOLE_NUMBERS:
            values[name] = _number(name, values[name])
        elif name == "predictions":
            values[name] = _predictions(values[name])
        elif name == "labels":
            values[name] = _labels(values[name])
        elif not isinstance(values[name], str):
            raise ValueError(f"{name} is {quoted(str(values[name]))}; it must be text")
    if values["status"] not in STATUSES:
        raise ValueError(f"status is {quoted(values['status'])}; it must be one of {', '.join(STATUSES)}")
    if values["status"] == "ok" and values["label"] and values["score"] is None:
        raise ValueError("score is empty; a row with a label needs one")
    return _made(values)


def restored(row: Mapping[str, Any]) -> Record:
    """Return the record that `to_row` made a row of, without the checks of `from_row`."""
    return _made({**row, "predictions": [Prediction(each["label"], each["score"]) for each in row["predictions"]]})


def distinct(records: Iterable[Record]) -> list[Record]:
    """Return each request once, in the order of the first row: predictions before any error before no response.

    A response may be delivered twice, and a file may be written by several commands. Rows without a request id are
    images that were not sent; they are all kept.
    """
    kept: dict[str | int, Record] = {}
    for number, record in enumerate(records):
        key = record.request_id or number
        if key not in kept or rank(record) > rank(kept[key]):
            kept[key] = record
    return list(kept.values())


def rank(record: Record) -> int:
    return 1 if record.error_code == UNAVAILABLE else _RANKS[record.status]


def _values(response: Response) -> dict[str, Any]:
    timing, model, error = response.timing_ms, response.model, response.error
    best = response.predictions[0] if response.predictions else None
    return {
        "request_id": response.request_id,
        "status": response.status,
        "label": best.label if best else "",
        "score": best.score if best else None,
        "predictions": response.predictions,
        "labels": response.labels,
        "error_code": error.code if error else "",
        "error_message": error.message if error else "",
        "queue_ms": timing.queue,
        "fetch_ms": timing.fetch,
        "decode_ms": timing.decode,
        "predict_ms": timing.predict,
        "total_ms": timing.total,
        "delivery_attempt": response.delivery_attempt if abs(response.delivery_attempt) <= _MAX_WHOLE else 0,
        "model_name": model.name if model else "",
        "model_version": model.version if model else "",
        "model_digest": model.digest if model else "",
        "engine": model.engine if model else "",
        "completed_at": response.completed_at,
        "features": base64.b64encode(response.features or b"").decode(),
    }


def _made(values: Mapping[str, Any]) -> Record:
    """Create a record whose text every format can hold, and whose numbers have the type of their column."""
    clean: dict[str, Any] = {k: _encodable(v) if isinstance(v, str) else v for k, v in values.items()}
    clean |= {name: sys.intern(clean[name]) for name in _REPEATED if name in clean}
    clean |= {name: float(clean[name]) for name in NUMBERS if clean.get(name) is not None}
    clean["predictions"] = tuple(
        Prediction(sys.intern(_encodable(p.label)), float(p.score)) for p in clean.get("predictions", ())
    )
    if clean.get("labels") is not None:
        clean["labels"] = tuple(sys.intern(_encodable(label)) for label in clean["labels"])
    return Record(**clean)


def _encodable(text: str) -> str:
    """Escape lone surrogates: the bytes of a file name that is not UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _number(name: str, value: object) -> float | None:
    """Read a number, or None for an empty cell."""
    if value is None or value == "":
        return None
    whole = name in WHOLE_NUMBERS
    try:
        if isinstance(value, bool):
            raise ValueError
        number = value if type(value) is float and not whole else int(str(value)) if whole else float(str(value))
    except ValueError:
        number = math.nan
    if not abs(number) <= (_MAX_WHOLE if whole else sys.float_info.max) or (name == "score" and not 0 <= number <= 1):
        kind = "a number from 0 to 1" if name == "score" else "a whole number" if whole else "a number"
        raise ValueError(f"{name} is {quoted(str(value))}; it must be {kind}")
    return number


def _predictions(value: object) -> tuple[Prediction, ...]:
    try:
        listed: Any = json.loads(value) if isinstance(value, str) else value
        made = tuple(Prediction(each["label"], each["score"]) for each in listed)
    except (ValueError, TypeError, KeyError, RecursionError):
        made = (Prediction("", math.nan),)
    if not all(isinstance(p.label, str) and _is_finite(p.score) for p in made):
        raise ValueError(f"predictions is {quoted(str(value))}; it must be a JSON list of objects with label and score")
    return made


def _labels(value: object) -> tuple[str, ...] | None:
    if value is None or value == "":
        return None
    try:
        listed: Any = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        listed = None
    if not isinstance(listed, list) or not all(isinstance(label, str) for label in listed):
        raise ValueError(f"labels is {quoted(str(value))}; it must be a JSON list of labels, or empty")
    return tuple(listed)


def _is_finite(score: Any) -> bool:
    return type(score) in (int, float) and abs(score) <= sys.float_info.max
