"""Reads labels from a table: CSV whose header names the column of the labels, and perhaps that of their places."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from model.text import quoted

_SEPARATORS = ",;\t"

# Names of the column of labels, the more certain ones first, and of the column of their places. A data frame of pandas
# has its index in a column without a name.
_LABELS = ("label", "labels", "name", "class_name", "display_name", "label_name"), ("class", "classes", "category")
_PLACES = "", "index", "idx", "id", "class_id", "class_index", "class_idx", "label_id", "label_index"

# Names of columns in tables of labelled images.
_IMAGES = "file", "filename", "file_name", "filepath", "path", "image", "image_id", "image_path", "image_name", "url"


def labels_of_table(text: str) -> list[tuple[str, str]] | None:
    """Labels with their lines, in the order of their places, or of the lines where the table has no places.

    None for a text that does not begin with the header of a table of labels. Raises ValueError when a line has another
    number of cells, or when the places are not the numbers from 0.
    """
    first = text.partition("\n")[0]
    separator = max(_SEPARATORS, key=first.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        header = next(rows, [])
        columns = _columns([cell.strip().lower().replace(" ", "_") for cell in header])
        if columns is None:
            return None
        if images := [cell for cell in header if cell.strip().lower().replace(" ", "_") in _IMAGES]:
            raise ValueError(
                f"its column {quoted(images[0])} names images, whose labels have not the order of the scores; it must "
                "be a table of labels, or have one label per line"
            )
        found = [(row, rows.line_num) for row in rows if any(map(str.strip, row))]
    except csv.Error as exc:
        raise ValueError(f"line {rows.line_num} is not CSV: {exc}") from None
    for row, line in found:
        if len(row) != len(header):
            raise ValueError(f"line {line} has {len(row)} cells; the header has {len(header)}")
    label, place = columns
    if place is not None:
        found = _by_place(found, place, header[place])
    return [(row[label].strip(), f"line {line}") for row, line in found]


def _columns(names: Sequence[str]) -> tuple[int, int | None] | None:
    """The columns of labels and of places; None without exactly one column of labels among several."""
    labels = next((found for known in _LABELS if (found := _among(names, known))), [])
    places = _among(names, _PLACES)
    if len(names) < 2 or len(labels) != 1 or len(places) > 1:
        return None
    return labels[0], places[0] if places else None


def _among(names: Sequence[str], known: Sequence[str]) -> list[int]:
    return [column for column, name in enumerate(names) if name in known]


def _by_place(rows: Sequence[tuple[list[str], int]], place: int, name: str) -> list[tuple[list[str], int]]:
    for row, line in rows:
        if not (row[place].strip().isdecimal() and len(row[place]) < 10):
            raise ValueError(
                f"line {line} has {quoted(row[place])} as {name or 'its place'}; it must be a whole number"
            )
    ordered = sorted(rows, key=lambda row: int(row[0][place]))
    for number, (row, line) in enumerate(ordered):
        if int(row[place]) != number:
            raise ValueError(
                f"line {line} has the {name or 'place'} {row[place].strip()}; they must be the numbers 0 to "
                f"{len(ordered) - 1}, each once: the places of the scores"
            )
    return ordered
