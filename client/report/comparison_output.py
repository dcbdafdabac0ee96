"""The output of the command compare: lines for people, or one JSON object. Untrusted text is escaped in lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from client.report.comparison import Comparison, Correctness
from client.report.summary import Summary
from client.text import brief

_MAX_CHANGES = 10
"""Lines of changed labels; --json has all."""

_MEDIANS = ("client", "predict")
"""The stages whose medians are compared."""


Names = tuple[str, str]
Runs = tuple[Summary, Summary]


def to_dict(files: Names, runs: Runs, found: Comparison, right: Correctness | None) -> dict[str, Any]:
    """Return the JSON object. Scores and shares are 0 to 1, times milliseconds. `accuracy` needs true labels."""
    sides = [
        {"file": file, "rows": len(run.records), "models": run.models, "median_ms": medians(run)}
        for file, run in zip(files, runs, strict=True)
    ]
    return {
        "a": sides[0],
        "b": sides[1],
        "images": {"both": len(found.pairs), "only_a": found.only[0], "only_b": found.only[1]},
        "labels": {
            "equal": len(found.equal),
            "changed": len(found.changed),
            "equal_share": found.equal_share,
            "changes": [{"from": old, "to": new, "images": count} for old, new, count in found.transitions],
        },
        "score_change": asdict(found.score_change) if found.score_change else None,
        "errors": {"came": found.errors_came, "went": found.errors_went, "both": found.unanswered},
        "accuracy": _accuracy(right) if right else None,
    }


def _accuracy(right: Correctness) -> dict[str, Any]:
    return {
        "images": right.images,
        "a": right.accuracies[0],
        "b": right.accuracies[1],
        "both_right": right.both,
        "only_a_right": right.only[0],
        "only_b_right": right.only[1],
        "neither_right": right.neither,
        "unmeasured": right.unmeasured,
    }


def to_lines(files: Names, runs: Runs, found: Comparison, right: Correctness | None) -> Iterator[str]:
    """Yield the figures as lines for a terminal."""
    for side, file, run in zip("AB", files, runs, strict=True):
        models = "; ".join(f"{model}: {count:,}" for model, count in run.models.items()) or "no predictions"
        yield brief(f"{side} is {file}: {len(run.records):,} rows; {models}")
    yield f"{len(found.pairs):,} images are in both, {found.only[0]:,} only in A, {found.only[1]:,} only in B"
    yield equal_labels(found)
    for old, new, count in found.transitions[:_MAX_CHANGES]:
        yield brief(f"  {count:>7,}  {old} -> {new}")
    if (more := len(found.transitions) - _MAX_CHANGES) > 0:
        yield f"  and {more:,} other changes; --json lists all"
    if change := found.score_change:
        yield brief(score_change(found))
        yield brief(f"  the largest, {change.largest:+.4f}, is that of {change.file}")
    yield from _errors("with predictions only in A; in B", found.errors_came)
    yield from _errors("with predictions only in B; in A", found.errors_went)
    if found.unanswered:
        yield f"{found.unanswered:,} without predictions in both"
    for stage in _MEDIANS:
        a, b = (f"{value:,.1f} ms" if value is not None else "-" for value in (medians(run)[stage] for run in runs))
        yield f"median {stage}_ms: A {a}, B {b}"
    if right:
        accuracies = "A {:.2%}, B {:.2%}".format(*right.accuracies)
        yield f"accuracy on {right.images:,} labelled images: {accuracies}"
        only_a, only_b = right.only
        yield f"  right: both {right.both:,}, only A {only_a:,}, only B {only_b:,}, neither {right.neither:,}"


def equal_labels(found: Comparison) -> str:
    """Return the sentence on equal labels."""
    labelled = len(found.equal) + len(found.changed)
    if found.equal_share is None:
        return "no image has predictions in both"
    return f"{found.equal_share:.2%} equal labels: {len(found.equal):,} of {labelled:,} images with predictions in both"


def score_change(found: Comparison) -> str:
    """Return the sentence on scores where labels are equal; "" without such images."""
    change = found.score_change
    if change is None:
        return ""
    return (
        f"score of equal labels: {change.mean:+.4f} on average, {change.mean_absolute:.4f} without regard to the sign"
    )


def medians(run: Summary) -> dict[str, float | None]:
    """Return the median of each of _MEDIANS in milliseconds; None without times."""
    return {stage: run.percentiles[stage][0] if stage in run.percentiles else None for stage in _MEDIANS}


def _errors(what: str, counts: Mapping[str, int]) -> Iterator[str]:
    if counts:
        listed = ", ".join(f"{code} {count:,}" for code, count in counts.items())
        yield brief(f"{sum(counts.values()):,} {what}: {listed}")
