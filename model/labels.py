"""Labels and what is said with them. Standard library only, so that clients may import it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Prediction:
    """One label the model believes in, and how much: `score` is 0..1, rounded to 4 decimals."""

    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Which part of an image decided for a label: `png` is a picture of what the model saw, with that part in colour.

    `method`: `class_activation` or `occlusion`.
    """

    label: str
    method: str
    png: bytes


def parse_labels(text: str) -> tuple[str, ...]:
    """Read labels.txt: one label a line, line i names column i of the scores.

    Raises ValueError when there is no label, an empty line between labels, or a label twice.
    """
    labels = tuple(line.strip() for line in text.rstrip().splitlines())
    if not labels:
        raise ValueError("labels.txt holds no label")
    for number, label in enumerate(labels, 1):
        if not label:
            raise ValueError(f"labels.txt line {number} is empty")
    if len(set(labels)) != len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)
        raise ValueError(f"labels.txt names {twice!r} more than once")
    return labels
