"""Drift of rows of results: what the command report and the page measure, on the rows of one model."""

from __future__ import annotations

from collections.abc import Sequence

from client.results.record import IMAGE_ERRORS, Record
from model.drift import Assessment, Reference, assess
from model.labels import Prediction


def rows_of(records: Sequence[Record], digest: str) -> list[Record]:
    """Return the rows with a prediction of the model with this digest."""
    return [record for record in records if record.answered and record.model_digest == digest]


def best_predictions(rows: Sequence[Record]) -> list[Prediction]:
    """Return the best prediction of each of these answered rows."""
    return [Prediction(record.label, record.score or 0.0) for record in rows]


def drift_of(records: Sequence[Record], digest: str, reference: Reference) -> Assessment:
    """Assess the rows of one model; images that were refused, which no model has seen, count as refused.

    Raises ValueError when there is no row of the model, or one has a label that the reference lacks.
    """
    refused = sum(record.error_code in IMAGE_ERRORS for record in records)
    return assess(reference, best_predictions(rows_of(records, digest)), refused)
