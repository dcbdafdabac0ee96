"""A file of comparisons: JSON lines, each as it is on the comparison topic. A kill tears at most the last line."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from client.gcp import UsageError
from client.results.file_lock import lock
from client.text import plain, printable
from functions.messages.comparison import COMPARISON_LIMIT, Comparison, decode_comparison, encode_comparison

ENDING = ".jsonl"

Warn = Callable[[str], None]


class ComparisonWriter:
    """Appends comparisons to a file and locks it; creates it, or drops an incomplete last line. A context manager.

    Raises UsageError for a file that another command writes, that cannot be written, or that holds something else.
    """

    def __init__(self, path: Path, warn: Warn) -> None:
        self.path = path
        if not path.name.lower().endswith(ENDING):
            raise UsageError(f"--output is {printable(str(path))}; its name must end in {ENDING}")
        try:
            self._file: BinaryIO = path.open("ab")
            try:
                lock(self._file, path, warn)
                self._repair(warn)
            except BaseException:
                self._file.close()
                raise
        except OSError as exc:
            raise UsageError(f"{printable(str(path))} cannot be written: {plain(exc)}") from None

    def __enter__(self) -> ComparisonWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, comparisons: Sequence[Comparison]) -> None:
        """Write comparisons without explanations and features; then they survive the end of this process.

        Raises OSError, after which nothing more may follow.
        """
        self._file.write(b"".join(encode_comparison(_slim(each)) + b"\n" for each in comparisons))
        self._file.flush()

    def _repair(self, warn: Warn) -> None:
        with self.path.open("rb") as file:
            complete = 0
            for number, line in enumerate(file, 1):
                if number == 1 and not line.startswith(b'{"schema_version":'[: len(line)]):
                    raise UsageError(f"{printable(str(self.path))} holds no comparisons; choose another name")
                if line.endswith(b"\n"):
                    complete += len(line)
            size = file.seek(0, io.SEEK_END)
        if complete < size:
            self._file.truncate(complete)
            warn(f"{printable(str(self.path))}: the last line was incomplete and was dropped")


def read_comparisons(path: Path, warn: Warn) -> Iterator[Comparison]:
    """Yield the comparisons of a file; an incomplete last line is left out with a warning. Raises UsageError."""
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(COMPARISON_LIMIT + 2):
                number += 1
                if not line.endswith(b"\n") and len(line) <= COMPARISON_LIMIT:
                    warn(f"{printable(str(path))}: the last line is incomplete and was left out")
                    return
                try:
                    yield decode_comparison(line.rstrip(b"\n"))
                except ValueError as exc:
                    why = printable(str(exc))[:200]
                    raise UsageError(f"{printable(str(path))} line {number} is no comparison: {why}") from None
    except OSError as exc:
        raise UsageError(f"{printable(str(path))} cannot be read: {plain(exc)}") from None


def _slim(comparison: Comparison) -> Comparison:
    served, shadow = (replace(each, explanation=None, features=None) for each in (comparison.served, comparison.shadow))
    return replace(comparison, served=served, shadow=shadow)
