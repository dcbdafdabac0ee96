"""The true labels of image files: from one folder for each label, or a CSV file with the columns file,label."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from client.gcp import UsageError
from client.image_files import images_below
from client.report.file_lookup import FileLookup
from client.results.record import Record
from client.text import plain, printable


@dataclass(frozen=True, slots=True)
class Truth:
    """True labels by file, an absolute path, and the names by which rows may mean a file."""

    labels: dict[str, str]
    lookup: FileLookup

    def file_of(self, record: Record) -> str | None:
        """Return the labelled file of a row, None without one."""
        return self.lookup.find(record.file)


def read_truth(path: Path) -> Truth:
    """Read the labels at `path`, a folder or a CSV file. Raises UsageError, which names the line."""
    return _made(_of_folder(path) if path.is_dir() else _of_list(path), str(path))


def parse_truth(content: bytes, name: str) -> Truth:
    """Read the labels in the content of a CSV file that lies in the working folder. Raises UsageError, which calls it
    `name`."""
    return _made(_of_lines(io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", newline=""), name, Path()), name)


def _made(pairs: Iterable[tuple[str, str, set[str]]], name: str) -> Truth:
    truth = Truth({}, FileLookup())
    for file, label, names in pairs:
        if truth.labels.setdefault(file, label) != label:
            raise UsageError(
                f"{printable(name)} gives {printable(file)} the labels {printable(truth.labels[file])} and "
                f"{printable(label)}; each file has one"
            )
        truth.lookup.add(file, names)
    if not truth.labels:
        raise UsageError(f"{printable(name)} labels no image; it must hold a folder for each label, or file,label")
    return truth


def _of_folder(folder: Path) -> Iterator[tuple[str, str, set[str]]]:
    """Yield path, label and names of each image: its label is the first folder below `folder`, as `model` reads it."""
    for image in images_below(folder):
        label, slash, _ = image.name.partition("/")
        if slash:
            path = os.path.abspath(image.path)
            yield path, label, {image.name}


def _of_list(path: Path) -> Iterator[tuple[str, str, set[str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield from _of_lines(file, str(path), path.parent)
    except OSError as exc:
        raise UsageError(f"{printable(str(path))} cannot be read: {plain(exc)}") from None


def _of_lines(lines: Iterable[str], name: str, folder: Path) -> Iterator[tuple[str, str, set[str]]]:
    """Yield path, label and names of each line of a CSV file in `folder`, which messages call `name`."""
    name = printable(name)
    try:
        rows = csv.DictReader(lines, strict=True)
        if not {"file", "label"} <= set(rows.fieldnames or ()):
            raise UsageError(f"{name} lacks the columns file,label in its first line")
        for row in rows:
            file, label = row["file"], (row["label"] or "").strip()
            if not file or not label or "\0" in file:
                raise UsageError(f"{name} line {rows.line_num} lacks a file or a label")
            yield os.path.abspath(folder / file), label, {file, os.path.abspath(file)}
    except UnicodeDecodeError:
        raise UsageError(f"{name} cannot be read: it is not UTF-8") from None
    except csv.Error as exc:
        raise UsageError(f"{name} cannot be read: {plain(exc)}") from None
