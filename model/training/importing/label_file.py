"""Reads files of labels: lines, numbered lines, tables, and the forms of JSON in which frameworks write a class index.

A form is accepted when each label's place is certain; every other one is refused.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from model.labels import check_labels
from model.text import decode_text, quoted
from model.training.errors import SourceError
from model.training.importing.label_lines import labels_of_lines
from model.training.importing.label_table import labels_of_table
from model.training.importing.unpacking import parse_json, read_small

# A label, and the mark that tells it from an equal one: its synset or its place, such as `number 3`.
Named = tuple[str, str]

# How marks of places begin.
_PLACES = "line ", "number "

# Labels of ImageNet; its models may have one more for the background.
IMAGENET = 1000

_FORMS = '["label", …], {"0": "label", …}, {"0": [synset, label], …} or {"label": 0, …}'


def read_labels(path: Path) -> tuple[str, ...]:
    """The labels of a file, in the order of the model's scores. Raises SourceError; see `parse_label_file`."""
    try:
        return parse_label_file(read_small(path), path)
    except OSError as exc:
        raise SourceError(f"the labels {path} cannot be read: {exc.strerror}") from exc


def parse_label_file(data: bytes, path: Path) -> tuple[str, ...]:
    """The labels of a file with these bytes, in the order of the model's scores.

    A text file has one label per line, or it is a table with a header. A JSON file has a form of `_FORMS`. A repeated
    label gets its synset as a suffix, and in ImageNet's lists, which have two cranes, its line. Raises SourceError.
    """
    try:
        text = decode_text(data)
        named = _of_json(text, path)
        if named is None:
            named = labels_of_table(text)
        if named is None:
            named = [(label, f"line {number}") for number, label in enumerate(labels_of_lines(text, path), 1)]
        return distinct_labels(named)
    except ValueError as exc:
        raise SourceError(f"the labels {path} cannot be used: {exc}") from exc


def distinct_labels(named: Sequence[Named]) -> tuple[str, ...]:
    """The labels, each once. Raises ValueError for a text that is no label, and for two equal labels, which name the
    same class or hide another one."""
    labels = _distinct(named)
    check_labels(labels, [mark for _, mark in named])
    return labels


def _distinct(named: Sequence[Named]) -> tuple[str, ...]:
    first: dict[str, str] = {}
    repeated: set[str] = set()
    for label, mark in named:
        if label and label in first:
            if mark.startswith(_PLACES) and len(named) not in (IMAGENET, IMAGENET + 1):
                raise ValueError(f"{first[label]} and {mark} are both {quoted(label)}; each label may occur once")
            repeated.add(label)
        first.setdefault(label, mark)
    return tuple(f"{label} ({mark})" if label in repeated else label for label, mark in named)


def _of_json(text: str, path: Path) -> list[Named] | None:
    """The labels of a JSON text; None when the file is not JSON and need not be."""
    if path.suffix.lower() != ".json" and not text.lstrip().startswith(("{", "[")):
        return None
    try:
        content = parse_json(text, f"the labels {path}", without_repeats)
    except json.JSONDecodeError as exc:
        if path.suffix.lower() == ".json":
            raise ValueError(f"it is not JSON: {exc.msg}, line {exc.lineno}") from None
        return None  # a label may begin with a bracket: labels_of_lines decides
    return _of_index(content)


def _of_index(content: Any) -> list[Named]:
    if isinstance(content, list):
        return [_entry(entry, f"number {place}") for place, entry in enumerate(content)]
    if not isinstance(content, dict) or not content:
        raise ValueError(f"it must be {_FORMS}")
    places = [str(place) for place in range(len(content))]
    is_by_place = set(content) == set(places)
    is_by_name = all(type(place) is int for place in content.values()) and sorted(content.values()) == list(
        range(len(content))
    )
    if is_by_name and is_by_place and any(name != str(place) for name, place in content.items()):
        raise ValueError(f"its keys and its values are both the numbers 0 to {len(content) - 1}; it must be a list")
    if is_by_name:
        return [(name.strip(), f"number {content[name]}") for name in sorted(content, key=lambda name: content[name])]
    if not is_by_place:
        raise ValueError(
            f"the numbers of its labels are not 0 to {len(content) - 1} (it holds {quoted(next(iter(content)))}); it "
            f"must be {_FORMS}"
        )
    return [_entry(content[place], f"number {place}") for place in places]


def _entry(entry: Any, mark: str) -> Named:
    """A label, or a synset and a label."""
    if isinstance(entry, str):
        return entry.strip(), mark
    if isinstance(entry, list) and len(entry) == 2 and all(isinstance(part, str) for part in entry):
        return entry[1].strip(), entry[0].strip()
    raise ValueError(f"{mark} is {quoted(entry)}; it must be a label or [synset, label]")


def without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a JSON object of its pairs, for `parse_json`. Raises ValueError for a key that occurs twice."""
    content = dict(pairs)
    if len(content) < len(pairs):
        (twice, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"it names {quoted(twice)} more than once")
    return content
