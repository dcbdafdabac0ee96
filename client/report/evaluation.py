"""Accuracy, precision, recall and F1 of results on labelled images, with the metrics of `model evaluate`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from heapq import nsmallest
from typing import Any

import numpy as np

from client.gcp import UsageError
from client.report.by_image import by_image, refuse_multi_label, refuse_repeated
from client.report.truth import Truth
from client.results.record import IMAGE_ERRORS, Record
from client.text import printable
from model.metrics import ClassFigures, Numbers, accuracy, class_figures, confusion, macro

MISTAKES = 24
"""Wrong predictions that are listed, those with the highest scores."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """A wrong prediction. `label`: the true one."""

    label: str
    record: Record


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures of the images with a label and predictions; the other counts say what they leave out.

    `skipped`: labelled images that the worker refused, by error code. `unanswered`: labelled images without predictions
    for another reason.
    `unlabelled`: rows whose file has no label. `mistakes`: at most MISTAKES, the highest score first.
    """

    models: tuple[str, ...]
    labels: tuple[str, ...]
    matrix: Numbers
    skipped: dict[str, int]
    unanswered: tuple[str, ...]
    unlabelled: int
    mistakes: tuple[Mistake, ...]

    @property
    def images(self) -> int:
        """The number of images that are measured."""
        return int(self.matrix.sum())

    @property
    def classes(self) -> dict[str, ClassFigures]:
        """The figures of each label."""
        return dict(zip(self.labels, class_figures(self.matrix), strict=True))

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object of --json: the names are those of `predictions model evaluate --json`."""
        precision, recall, f1 = macro(list(self.classes.values()))
        return {
            "models": list(self.models),
            "images": self.images,
            "accuracy": accuracy(self.matrix),
            "macro": {"precision": precision, "recall": recall, "f1": f1},
            "classes": {label: asdict(figures) for label, figures in self.classes.items()},
            "confusion": {"labels": list(self.labels), "counts": self.matrix.tolist()},
            "skipped": self.skipped,
            "unanswered": len(self.unanswered),
            "unlabelled": self.unlabelled,
            "mistakes": [
                {
                    "file": each.record.file,
                    "label": each.label,
                    "predicted": each.record.label,
                    "score": each.record.score,
                }
                for each in self.mistakes
            ],
        }

    def to_text(self) -> str:
        """Return the figures as text for a terminal."""
        found, width = self.to_dict(), max(map(len, (*map(printable, self.labels), "macro")))
        lines = [f"{', '.join(self.models)}: {found['accuracy']:.2%} of {self.images:,} images"]
        lines += [f"  {'':<{width}}{'precision':>11}{'recall':>9}{'F1':>9}{'images':>9}"]
        for label, each in self.classes.items():
            shares = "".join(
                f"{'-' if value is None else f'{value:.1%}':>{size}}"
                for value, size in ((each.precision, 11), (each.recall, 9), (each.f1, 9))
            )
            lines.append(f"  {printable(label):<{width}}{shares}{each.images:>9,}")
        precision, recall, f1 = found["macro"].values()
        lines.append(f"  {'macro':<{width}}{precision:>11.1%}{recall:>9.1%}{f1:>9.1%}{self.images:>9,}")
        wrong = [
            (int(self.matrix[row, column]), f"{printable(true)} as {printable(predicted)}")
            for row, true in enumerate(self.labels)
            for column, predicted in enumerate(self.labels)
            if row != column and self.matrix[row, column]
        ]
        wrong.sort(key=lambda each: (-each[0], each[1]))
        lines += [f"  {count:>6,}  {what}" for count, what in wrong[:10]]
        return "\n".join(lines)


def evaluate(records: Sequence[Record], truth: Truth, labels: Sequence[str] = ()) -> Evaluation:
    """Compare rows with the true labels. `labels` are the model's; without them, those that occur, sorted.

    Raises UsageError when no image has both, when a file has several rows, when the rows are of several models or of a
    multi-label one, or when a true label is none of the model's.
    """
    files = [truth.file_of(record) for record in records]
    rows, repeated = by_image(zip(files, records, strict=True))
    refuse_repeated(repeated)
    answered = {file: row for file, row in rows.items() if row.answered}
    if not answered:
        raise UsageError(
            f"none of the {len(truth.labels):,} labelled files has predictions in the results; "
            f"a labelled file is {printable(next(iter(truth.labels)))}"
        )
    refuse_multi_label(answered.values())
    models = {row.model_digest: f"{row.model_name} {row.model_version}".strip() for row in answered.values()}
    if len(models) > 1:
        names = ", ".join(printable(f"{name} {digest[:19]}") for digest, name in models.items())
        raise UsageError(
            f"the results are of several models ({names}); predictions compare --canary NAME --labels measures two"[
                :300
            ]
        )
    pairs = [(truth.labels[file], row.label) for file, row in answered.items()]
    order = tuple(labels) or tuple(sorted({label for pair in pairs for label in pair}))
    place = {label: number for number, label in enumerate(order)}
    for label in sorted({label for pair in pairs for label in pair}):
        if label not in place:
            raise UsageError(f"{printable(label)} is not a label of the model; they are {', '.join(order)}"[:300])
    true, best = (np.array([place[pair[side]] for pair in pairs]) for side in (0, 1))
    errors = sorted(row.error_code for row in rows.values() if row.error_code in IMAGE_ERRORS)
    return Evaluation(
        tuple(models.values()),
        order,
        confusion(true, best, len(order)),
        {code: errors.count(code) for code in dict.fromkeys(errors)},
        tuple(
            file
            for file in truth.labels
            if file not in answered and (file not in rows or rows[file].error_code not in IMAGE_ERRORS)
        ),
        files.count(None),
        _mistakes((truth.labels[file], row) for file, row in answered.items()),
    )


def _mistakes(labelled: Iterable[tuple[str, Record]]) -> tuple[Mistake, ...]:
    """The wrong predictions with the highest scores, of true labels and rows."""
    wrong = (Mistake(label, row) for label, row in labelled if row.label != label)
    return tuple(nsmallest(MISTAKES, wrong, key=lambda each: (-(each.record.score or 0.0), each.record.file)))


def never_predicted(evaluation: Evaluation) -> list[str]:
    """Return the labels of images that no prediction names: perhaps another spelling than the model's."""
    return [label for label, figures in evaluation.classes.items() if figures.images and not figures.answers]


def left_out(evaluation: Evaluation) -> list[str]:
    """Return a sentence for each kind of images and rows that are not measured."""
    found = [f"skipped {count:,} images with the error {printable(code)}" for code, count in evaluation.skipped.items()]
    if evaluation.unlabelled:
        found.append(f"{evaluation.unlabelled:,} rows have no label and are not measured")
    if evaluation.unanswered:
        found.append(
            f"{len(evaluation.unanswered):,} labelled images have no predictions and are not measured, such as "
            f"{printable(evaluation.unanswered[0])}"
        )
    return found
