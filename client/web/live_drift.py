"""The drift of the last minutes: the same measure as that of `predictions report --reference`, for each model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from client.results.record import Record
from client.web.references import References

_MAX_MODELS = 3
"""Models whose drift is measured: those with the most images."""

_LEAST = 30
"""Images that a bar of the plot needs: the index of fewer says more about chance than about the images."""


def drift_figures(
    records: Sequence[Record], steps: Sequence[Sequence[Record]], references: References
) -> list[dict[str, Any]]:
    """Return the drift of each model in these rows as JSON, that with the most images first.

    `labels` and `scores` are the stability indices of all rows, and `steps` the larger one of each step, None where a
    step has less than `least` images. A model without a reference has `problem` instead.
    """
    models = Counter(
        (record.model_digest, record.model_name, record.model_version) for record in records if record.answered
    )
    return [
        {"model": f"{name} {version}", "digest": digest, "images": count}
        | _figures(records, steps, digest, references.find(name, version, digest))
        for (digest, name, version), count in models.most_common(_MAX_MODELS)
    ]


def _figures(
    records: Sequence[Record], steps: Sequence[Sequence[Record]], digest: str, reference: Any
) -> dict[str, Any]:
    if isinstance(reference, str):
        return {"problem": reference}
    from client.report.drift import best_predictions, drift_of, rows_of
    from model.drift import STRONG, compare

    def index(step: Sequence[Record]) -> float | None:
        rows = rows_of(step, digest)
        if len(rows) < _LEAST:
            return None
        found = compare(reference, best_predictions(rows))
        return max(found.labels, found.scores)

    try:
        made = drift_of(records, digest, reference)
        indices = [index(step) for step in steps]
    except ValueError as exc:
        return {"problem": f"drift cannot be measured: {exc}"[:300]}
    shares = [
        {"label": each.label, "expected": each.expected, "found": each.found, "is_significant": each.significant}
        for each in made.classes
    ]
    return {
        "labels": made.drift.labels,
        "scores": made.drift.scores,
        "reasons": made.reasons,
        "accuracy": [made.accuracy.value, made.accuracy.low, made.accuracy.high],
        "shares": shares,
        "steps": indices,
        "limit": STRONG,
        "least": _LEAST,
    }
