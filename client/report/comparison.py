"""Two runs compared image by image: labels, scores, errors, and with true labels which run is right. Plain Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from client.gcp import UsageError
from client.report.by_image import by_image, refuse_multi_label, refuse_repeated
from client.report.truth import Truth
from client.results.record import Record
from client.text import printable

Pair = tuple[Record, Record]


@dataclass(frozen=True, slots=True)
class ScoreChange:
    """Second score minus first, of images whose label is equal. `largest` is the one furthest from 0, of `file`."""

    mean: float
    mean_absolute: float
    largest: float
    file: str


@dataclass(frozen=True)
class Comparison:
    """The rows of images in both runs, and the number of images in one of them alone.

    `repeated`: the images with several predictions in each run, which are left out.
    """

    pairs: list[Pair]
    only: tuple[int, int]
    repeated: tuple[set[str], set[str]]

    @cached_property
    def equal(self) -> list[Pair]:
        """The rows with the same label in both runs."""
        return [(old, new) for old, new in self.pairs if old.answered and new.answered and old.answer == new.answer]

    @cached_property
    def changed(self) -> list[Pair]:
        """The rows with a label in both runs, but not the same."""
        return [(old, new) for old, new in self.pairs if old.answered and new.answered and old.answer != new.answer]

    @property
    def equal_share(self) -> float | None:
        """The share of equal labels among images with a label in both runs; None without such images."""
        labelled = len(self.equal) + len(self.changed)
        return len(self.equal) / labelled if labelled else None

    @property
    def is_equal(self) -> bool:
        """Whether each image is in both runs and has the same label, or has none in both."""
        return self.only == (0, 0) and not self.changed and all(old.answered == new.answered for old, new in self.pairs)

    @property
    def transitions(self) -> list[tuple[str, str, int]]:
        """First label, second label and number of images of each change, the most frequent first."""
        counts = Counter((old.answer, new.answer) for old, new in self.changed)
        return sorted(((*labels, count) for labels, count in counts.items()), key=lambda each: (-each[2], each))

    @property
    def errors_came(self) -> dict[str, int]:
        """The images with a label in the first run alone, by error code or status in the second."""
        return _reasons(new for old, new in self.pairs if old.answered and not new.answered)

    @property
    def errors_went(self) -> dict[str, int]:
        """The images with a label in the second run alone, by error code or status in the first."""
        return _reasons(old for old, new in self.pairs if new.answered and not old.answered)

    @property
    def unanswered(self) -> int:
        """The number of images without a label in both runs."""
        return sum(not old.answered and not new.answered for old, new in self.pairs)

    @property
    def score_change(self) -> ScoreChange | None:
        """How best scores changed where their label is equal; None where none is."""
        equal = [(old, new) for old, new in self.equal if old.label == new.label]
        if not equal:
            return None
        moves = [((new.score or 0.0) - (old.score or 0.0), new.file or new.request_id) for old, new in equal]
        largest, file = max(moves, key=lambda move: abs(move[0]))
        mean, absolute = sum(move for move, _ in moves), sum(abs(move) for move, _ in moves)
        return ScoreChange(mean / len(moves), absolute / len(moves), largest, file)


def compare(before: Iterable[Record], now: Iterable[Record]) -> Comparison:
    """Match the rows of two runs by file, and what is then left by request id."""
    (first, again), (second, again_too) = (
        by_image((record.file or record.request_id, record) for record in run) for run in (before, now)
    )
    for image in again | again_too:
        first.pop(image, None)
        second.pop(image, None)
    pairs = [(first.pop(image), second.pop(image)) for image in list(second) if image in first]
    left = {record.request_id: image for image, record in first.items() if record.request_id}
    for image, record in list(second.items()):
        if other := left.pop(record.request_id, None):
            pairs.append((first.pop(other), second.pop(image)))
    return Comparison(pairs, (len(first), len(second)), (again, again_too))


@dataclass(frozen=True, slots=True)
class Correctness:
    """Numbers of images with a true label and with predictions in both runs, by which run is right.

    `unmeasured`: labelled images that are not among them. `never`: true labels that no prediction names.
    """

    both: int
    only: tuple[int, int]
    neither: int
    unmeasured: int
    never: list[str]

    @property
    def images(self) -> int:
        """The number of measured images."""
        return self.both + sum(self.only) + self.neither

    @property
    def accuracies(self) -> tuple[float, float]:
        """The accuracy of each run."""
        first, second = self.only
        return (self.both + first) / self.images, (self.both + second) / self.images


def correctness(compared: Comparison, truth: Truth) -> Correctness:
    """Count which run is right. Raises UsageError where there is nothing to measure, or a labelled file twice, and for
    a multi-label model."""
    refuse_multi_label(row for pair in (*compared.equal, *compared.changed) for row in pair)
    found: dict[str, Pair] = {}
    for old, new in (*compared.equal, *compared.changed):
        file = truth.file_of(old)
        if file is None or file != truth.file_of(new):
            continue
        refuse_repeated([file] if file in found else [])
        found[file] = old, new
    if not found:
        raise UsageError(
            f"none of the {len(truth.labels):,} labelled files has predictions in both files; "
            f"a labelled file is {printable(next(iter(truth.labels)))}"[:300]
        )
    right = Counter(tuple(row.label == truth.labels[file] for row in pair) for file, pair in found.items())
    predicted = {row.label for pair in found.values() for row in pair}
    return Correctness(
        right[True, True],
        (right[True, False], right[False, True]),
        right[False, False],
        len(truth.labels) - len(found),
        sorted({truth.labels[file] for file in found} - predicted),
    )


def _reasons(records: Iterable[Record]) -> dict[str, int]:
    return dict(Counter(record.error_code or record.status for record in records).most_common())
