"""The result of one image in the Python API: the row of a results file, with its index and explanation."""

from __future__ import annotations

from dataclasses import dataclass

from client.results.record import COLUMNS, Record
from client.results.request_tracker import Outcome
from model.labels import Explanation
from model.text import printable

_FIELDS = ("index", *COLUMNS, "explanation")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Result(Record):
    """The result of one image: the fields of a row of a results file, its index and its explanation.

    - `index`: the position of the image among all images of the call, from 0.
    - `file`: the image's path, its name in a mapping, or `image-INDEX` for bytes without a name.
    - `label`, `score`: the best prediction; the score is 0 to 1.
    - `predictions`: the top-k predictions, best first.
    - `labels`: the labels that the image has by a multi-label model, best first; None for other models.
    - `features`: with `features=True`, base64 of little-endian float16 numbers.
    - `explanation`: which part of the image decided; None without `explain`.

    The other fields are the columns of results files. Text that does not apply is empty, and a number is None.
    """

    index: int
    explanation: Explanation | None = None

    @property
    def ok(self) -> bool:
        """Whether the image has predictions."""
        return self.status == "ok"

    @property
    def error(self) -> str:
        """Why there are no predictions, in one line; empty when there are."""
        return printable(f"{self.error_code}: {self.error_message}" if self.error_code else self.problem)

    def __repr__(self) -> str:
        """Show the fields that hold something."""
        held = ((name, value) for name in _FIELDS if (value := getattr(self, name)) not in ("", None, ()))
        return f"Result({', '.join(f'{name}={value!r}' for name, value in held)})"

    @classmethod
    def of(cls, outcome: Outcome, index: int) -> Result:
        """Return the result of the image at a position."""
        explanation = outcome.response.explanation if outcome.response else None
        return cls.of_record(Record.of_outcome(outcome), index, explanation)

    @classmethod
    def of_record(cls, record: Record, index: int, explanation: Explanation | None = None) -> Result:
        """Return the result that a row of results has."""
        return cls(index=index, explanation=explanation, **{name: getattr(record, name) for name in COLUMNS})
