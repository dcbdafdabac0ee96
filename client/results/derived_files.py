"""Results files that can only be written whole: Parquet, and tasks for Label Studio.

The rows go to a sibling `<name>.rows.jsonl`, as they come. At the end the file is written from all rows of the sibling,
which stays, so that a command that was killed loses nothing and a later command adds to the same file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from client.gcp import UsageError
from client.results.record import Record, distinct
from client.results.text_files import JsonLinesFormat, TextWriter, Warn, read_text
from client.text import printable
from client.whole_file import written_whole

Write = Callable[[Path, Iterable[Record]], None]


class DerivedWriter:
    """Appends rows to the sibling, and writes the file at the end. Raises OSError and UsageError."""

    def __init__(self, path: Path, write: Write, warn: Warn) -> None:
        self._path, self._write, self._warn = path, write, warn
        self._sibling = sibling(path)
        if path.exists() and not self._sibling.exists():
            raise UsageError(
                f"{printable(str(path))} exists without {printable(self._sibling.name)}, so nothing can be added; "
                "choose another name"
            )
        self._rows = TextWriter(self._sibling, JsonLinesFormat(), warn)

    def write(self, record: Record) -> None:
        """Write one row to the sibling. Raises OSError."""
        self._rows.write(record)

    def close(self) -> None:
        """Write the file and move it to its name. Raises OSError."""
        # The sibling stays locked until the file has its name, so that no other command writes it meanwhile.
        with closing(self._rows), written_whole(self._path) as part:
            self._write(part, read_text(self._sibling, JsonLinesFormat(), self._warn))


def sibling(path: Path) -> Path:
    """Return the path of the file with the rows."""
    return path.with_name(f"{path.name}.rows.jsonl")


def write_label_studio(path: Path, records: Iterable[Record]) -> None:
    """Write a task with its prediction for each image with a label, the least certain first."""
    labelled = [record for record in distinct(records) if record.answered]
    labelled.sort(key=lambda record: (record.score or 0.0, record.file, record.request_id))
    path.write_text(json.dumps([_task(record) for record in labelled], indent=1) + "\n", "ascii")


def _task(record: Record) -> dict[str, Any]:
    labels = [label for label, _ in record.assigned]
    choice = {"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": labels}}
    prediction = {"model_version": record.model_digest, "score": record.score, "result": [choice] if labels else []}
    return {
        "data": {"image": record.file},
        "meta": {"request_id": record.request_id, "model": f"{record.model_name} {record.model_version}".strip()},
        "predictions": [prediction],
    }
