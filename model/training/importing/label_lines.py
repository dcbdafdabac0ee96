"""Reads labels from lines of text: one label per line, with or without numbers that count the scores."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from model.text import quoted
from model.training.export.progress import say

# A number, a separator and a label: `0 cat`, `0: cat`, `0 - cat`, `0,cat`, `[0] cat`. A comma or a dash before a digit
# may belong to the number.
_NUMBERED = re.compile(r"[(\[]?(?P<number>\d+)[)\]]?(?:[:.,;]?\s+(?:[-=]\s+)?|[:;=](?=\S)|[,-](?=\D))(?P<label>\S.*)")

# A label, a separator and a number: `cat 0`, `cat: 0`, `cat,0`.
_NUMBERED_BEHIND = re.compile(r"(?P<label>.*?\S)(?:\s*[:,;=]\s*|\s+)(?P<number>\d+)")

# Formats whose lines are no labels, by the suffixes of their files.
_FOREIGN = ".yaml", ".yml", ".pbtxt", ".xml", ".toml", ".py"

# A line that may be a label although it begins with a bracket, which otherwise begins a list: `[background]`.
_BRACKETED = re.compile(r"\[[^\]\[\"',]*\].*|\{[^}{\"',:]*\}.*")


def labels_of_lines(text: str, path: Path) -> Sequence[str]:
    """The labels of a text, without white space, quotation marks and numbers that count the scores from 0.

    What is left out or may surprise is printed. Raises ValueError when the lines are those of another format, or when
    they do not have the order of the scores.
    """
    lines = [line.strip() for line in text.rstrip().splitlines()]
    _check_format(lines, path)
    return _unquoted(_without_numbers(lines, path))


def _check_format(lines: Sequence[str], path: Path) -> None:
    if path.suffix.lower() in _FOREIGN:
        raise ValueError(f"a {path.suffix} file is not read; it must be a text with one label per line, or JSON")
    if lines and lines[0][:1] in ("[", "{") and not _BRACKETED.fullmatch(lines[0]):
        raise ValueError(f"it begins as a list, with {quoted(lines[0])}, and is not JSON; it must be JSON or lines")
    if len(lines) > 1:
        for what, marked in (
            ("begins with a dash", [line.startswith("- ") for line in lines]),
            ("ends with a comma", [line.endswith(",") for line in lines[:-1]]),
        ):
            if all(marked):
                raise ValueError(f"each line {what}, as in {quoted(lines[0])}; it must be JSON or lines of labels")


def _without_numbers(lines: Sequence[str], path: Path) -> Sequence[str]:
    """The lines without their numbers, when these count the scores from 0.

    Numbers that begin at 1, or that leave equal labels (`0 stars`), may belong to the labels, which keep them. Raises
    ValueError when the numbers say another order than the lines, and when only the first line has none: it may be a
    header.
    """
    for pattern, where in ((_NUMBERED, "beginnings"), (_NUMBERED_BEHIND, "ends")) if len(lines) > 1 else ():
        counted = _counted(lines, pattern)
        if counted is None and not pattern.fullmatch(lines[0]) and _counted(lines[1:], pattern):
            raise ValueError(
                f"its first line {quoted(lines[0])} has no number and the others have; delete it if it is a header, "
                "else write the labels as JSON"
            )
        if counted is None:
            continue
        numbers, labels = counted
        first, last = min(numbers), max(numbers)
        if numbers != sorted(numbers):
            raise ValueError(
                f"its lines are numbered {numbers[0]}, {numbers[1]}, …; they must be in the order of scores, "
                "or JSON if the numbers belong to the labels"
            )
        if first == 1:
            say(f"{path}: the labels keep their numbers 1 to {last}")
            return lines
        say(f"{path}: the numbers 0 to {last} at the lines' {where} are not part of the labels")
        return labels
    if gap := _gap(lines):
        say(f"{path}: the labels keep their numbers, which do not count the lines: {gap}")
    return lines


def _counted(lines: Sequence[str], pattern: re.Pattern[str]) -> tuple[list[int], list[str]] | None:
    """The numbers and the labels of lines that are numbered from 0 or from 1 in any order; None for other lines."""
    found = [match for match in map(pattern.fullmatch, lines) if match]
    if len(found) < max(2, len(lines)):
        return None
    numbers, labels = [int(match["number"]) for match in found], [match["label"] for match in found]
    counts = sorted(numbers)
    if len(set(labels)) < len(labels) or counts not in (list(range(len(lines))), list(range(1, len(lines) + 1))):
        return None
    return numbers, labels


def _gap(lines: Sequence[str]) -> str:
    """Two numbers with a gap between them, if the lines seem to be numbered from 0 or 1; else an empty text."""
    found = [match for match in map(_NUMBERED.fullmatch, lines) if match]
    numbers = [int(match["number"]) for match in found]
    is_counted = len(found) == len(lines) > 1 and numbers[0] in (0, 1) and numbers == sorted(set(numbers))
    if not is_counted or len({match["label"] for match in found}) < len(found):
        return ""
    return next((f"{low} and then {high}" for low, high in pairwise(numbers) if high > low + 1), "")


def _unquoted(lines: Sequence[str]) -> Sequence[str]:
    """The lines without quotation marks around them, as CSV writes them; lines with other ones are unchanged."""
    return [line[1:-1].replace('""', '"').strip() if re.fullmatch(r'"(?:[^"]|"")*"', line) else line for line in lines]
