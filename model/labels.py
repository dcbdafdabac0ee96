"""Labels, predictions and explanations. Standard library only, so that clients may import it."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

# Limits of the number of labels and of the characters of a label. ImageNet has at most 21,841 labels.
MAX_LABELS, MAX_LABEL = 100_000, 500

# Unicode categories of characters that no label holds: controls, separators of lines and of paragraphs (labels.txt has
# one label per line), and halves of characters, which no text file can hold.
_FORBIDDEN = "Cc", "Zl", "Zp", "Cs"


@dataclass(frozen=True, slots=True)
class Prediction:
    """A label and its probability: `score` is 0..1, rounded to 4 decimals."""

    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Which part of an image decided its label: `png` is the model's input as an image, with that part coloured.

    `method`: `class_activation` or `occlusion`.
    """

    label: str
    method: str
    png: bytes


def assigned(predictions: Sequence[Prediction], labels: Sequence[str] | None) -> tuple[tuple[str, float | None], ...]:
    """The labels that an image has, with their scores: the best one, or the `labels` of a multi-label model.

    A score is None where it is not among the predictions.
    """
    if labels is None:
        return tuple((each.label, each.score) for each in predictions[:1])
    scores = {each.label: each.score for each in predictions}
    return tuple((label, scores.get(label)) for label in labels)


def parse_labels(text: str) -> tuple[str, ...]:
    """Parse labels.txt: one label per line; line i names column i of the scores.

    Raises ValueError as `check_labels` does.
    """
    labels = tuple(line.strip() for line in text.rstrip().splitlines())
    check_labels(labels, [f"labels.txt line {number}" for number in range(1, len(labels) + 1)], "labels.txt")
    return labels


def check_labels(labels: Sequence[str], places: Sequence[str], what: str = "it") -> None:
    """Raise ValueError when there are no labels or too many, or when a label is empty, repeated, too long or contains
    control characters. In messages, `places` names each label's place, and `what` the whole.
    """
    if not labels:
        raise ValueError(f"{what} holds no label")
    for label, place in zip(labels, places, strict=True):
        if not label:
            raise ValueError(f"{place} is empty")
        if len(label) > MAX_LABEL:
            raise ValueError(f"{place} has {len(label):,} characters; at most {MAX_LABEL} are allowed")
        if any(unicodedata.category(character) in _FORBIDDEN for character in label):
            raise ValueError(f"{place} is {label!r}; control characters are not allowed")
    if len(labels) > MAX_LABELS:
        raise ValueError(f"{what} holds {len(labels):,} labels; at most {MAX_LABELS:,} are allowed")
    if len(set(labels)) != len(labels):
        (twice, _), *_ = Counter(labels).most_common(1)
        raise ValueError(f"{what} names {twice!r} more than once")
