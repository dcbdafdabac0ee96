"""The two models of a comparison and their requests: from two results files, from a shadow, or from a canary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from client.gcp import UsageError
from client.report.comparison import Pair
from client.results.record import Record
from client.text import printable
from functions.messages.comparison import Comparison

FILES, SHADOW, CANARY = "results files", "shadow", "canary"

_KEPT = 2
"""Predictions of a response that are kept in memory."""

_AWAITED = ("ok", "error", "missing")
"""The statuses of requests for which a response was awaited."""

_MAX_LISTED = 5
"""Models that an error lists."""

_LEAST_DIGITS = 8
"""Digits of a digest that name a model."""


@dataclass(frozen=True, slots=True, order=True)
class ModelId:
    """The model of a response."""

    name: str
    version: str
    digest: str

    def __str__(self) -> str:
        return printable(f"{self.name} {self.version} ({self.digest[:19]})")

    @classmethod
    def of(cls, record: Record) -> ModelId:
        """The model of a row that has one."""
        return cls(record.model_name, record.model_version, record.model_digest)

    def is_named(self, text: str) -> bool:
        """Whether a text is its version, its digest, or the first digits of its digest."""
        digits = text.removeprefix("sha256:")
        begins = len(digits) >= _LEAST_DIGITS and self.digest.removeprefix("sha256:").startswith(digits)
        return text == self.version or begins


@dataclass(frozen=True, slots=True)
class Chosen:
    """The versions or digests that the user names; "" leaves the choice to the data."""

    stable: str = ""
    candidate: str = ""


@dataclass(frozen=True, slots=True)
class Samples:
    """The requests of two models, the stable one first; each request once.

    `pairs`: the two rows of each request, where both models have the same requests; None where each has its share.
    `unattributed`: requests without predictions whose response names no model. `notes`: what was left out, for people.
    """

    source: str
    models: tuple[ModelId, ModelId]
    rows: tuple[Sequence[Record], Sequence[Record]]
    pairs: Sequence[Pair] | None = None
    unattributed: int = 0
    notes: tuple[str, ...] = ()


def of_pairs(names: tuple[str, str], pairs: Sequence[Pair], only: tuple[int, int], chosen: Chosen) -> Samples:
    """The samples of two results files with these common images. Raises UsageError unless each is of one model."""
    awaited = [pair for pair in pairs if all(row.status in _AWAITED for row in pair)]
    rows = [old for old, _ in awaited], [new for _, new in awaited]
    models = _only_model(names[0], rows[0]), _only_model(names[1], rows[1])
    if models[0].digest == models[1].digest:
        raise UsageError(f"both files are of {models[0]}; a verdict compares two models")
    for text, option, model in zip((chosen.stable, chosen.candidate), ("--stable", "--candidate"), models, strict=True):
        if text and not model.is_named(text):
            raise UsageError(f"{option} is {printable(text)[:80]}, and its file is of {model}")
    left_out = {f"images are in {printable(name)} alone": count for name, count in zip(names, only, strict=True)}
    left_out["images were not sent, or without waiting for a response"] = len(pairs) - len(awaited)
    notes = tuple(f"{count:,} {what} and are left out" for what, count in left_out.items() if count)
    return Samples(FILES, models, rows, awaited, notes=notes)


def of_comparisons(comparisons: Iterable[Comparison], name: str, alias: str, chosen: Chosen) -> Samples:
    """The samples of a shadow. `name` and `alias`: of the model and the shadow, "" for every one.

    Raises UsageError unless the comparisons are of one served model and one shadow.
    """
    groups: dict[tuple[ModelId, ModelId], dict[str, Pair]] = {}
    aliases: Counter[str] = Counter()
    repeated = nameless = itself = 0
    for each in comparisons:
        pair = tuple(
            replace(row, predictions=row.predictions[:_KEPT], features="")
            for row in (Record.of_response(each.served), Record.of_response(each.shadow))
        )
        served, shadow = (ModelId.of(row) for row in pair)
        if not served.digest or not shadow.digest:
            nameless += 1
            continue
        aliases[f"{served.name}@{each.alias}"] += 1
        if (name and served.name != name) or (alias and each.alias != alias):
            continue
        if served.digest == shadow.digest:
            itself += 1
            continue
        requests = groups.setdefault((served, shadow), {})
        repeated += each.request_id in requests
        requests.setdefault(each.request_id, (pair[0], pair[1]))
    models, others = _choose_pair(groups, aliases, chosen)
    pairs = list(groups[models].values())
    left_out = {
        "comparisons repeat a request and are not counted again": repeated,
        "comparisons name no model and are left out": nameless,
        "requests were served by the shadow's own model and are left out": itself,
        "comparisons of other versions are left out": others,
    }
    notes = tuple(f"{count:,} {what}" for what, count in left_out.items() if count)
    return Samples(SHADOW, models, ([old for old, _ in pairs], [new for _, new in pairs]), pairs, notes=notes)


def of_canary(rows: Iterable[Record], name: str, chosen: Chosen) -> Samples:
    """The samples of a canary of the model `name`, from rows that are split by digest.

    Raises UsageError unless there are rows of both models.
    """
    by_model: dict[ModelId, list[Record]] = {}
    unattributed = elsewhere = 0
    for row in rows:
        if row.status not in _AWAITED:
            continue
        if not row.model_digest:
            unattributed += 1
        elif row.model_name != name:
            elsewhere += 1
        else:
            by_model.setdefault(ModelId.of(row), []).append(row)
    counts = {model: len(each) for model, each in by_model.items()}
    if not (chosen.stable and chosen.candidate):
        raise UsageError(
            "which model is stable is not known: give --registry ADDRESS, or --stable and --candidate; the results "
            f"have {_listed(counts)}"
        )
    models = _named(counts, chosen.stable, "stable model"), _named(counts, chosen.candidate, "candidate")
    if models[0] == models[1]:
        raise UsageError(f"stable model and candidate both are {models[0]}; a verdict compares two models")
    others = sum(counts.values()) - sum(counts[model] for model in models)
    left_out = {
        "rows of other models are left out": elsewhere,
        f"rows of other versions of {name} are left out": others,
    }
    notes = [f"{count:,} {what}" for what, count in left_out.items() if count]
    if unattributed:
        notes.append(
            f"{unattributed:,} requests without a response or with an error name no model: they may be the candidate's"
        )
    return Samples(
        CANARY, models, (by_model[models[0]], by_model[models[1]]), unattributed=unattributed, notes=tuple(notes)
    )


def _only_model(name: str, rows: Sequence[Record]) -> ModelId:
    counts = Counter(ModelId.of(row) for row in rows if row.model_digest)
    if len(counts) != 1:
        raise UsageError(
            f"{printable(name)} has responses of {len(counts)} models, and a verdict needs one: {_listed(counts)}; "
            "use --canary NAME for the shares of a canary"
        )
    return next(iter(counts))


def _choose_pair(
    groups: dict[tuple[ModelId, ModelId], dict[str, Pair]], aliases: Counter[str], chosen: Chosen
) -> tuple[tuple[ModelId, ModelId], int]:
    """Return the models that are compared, and the number of comparisons of others. Raises UsageError."""
    if not groups:
        raise UsageError(f"there is no comparison of two models; those read are of {_listed(aliases)}")
    fitting = [
        models
        for models in groups
        if (not chosen.stable or models[0].is_named(chosen.stable))
        and (not chosen.candidate or models[1].is_named(chosen.candidate))
    ]
    if len(fitting) != 1:
        counts = {f"{models[0]} with {models[1]}": len(pairs) for models, pairs in groups.items()}
        raise UsageError(
            f"{len(fitting)} pairs of models fit, and a verdict needs one: choose with --only NAME@ALIAS, --stable "
            f"and --candidate; there are {_listed(counts)}"
        )
    return fitting[0], sum(len(pairs) for models, pairs in groups.items() if models != fitting[0])


def _named(counts: dict[ModelId, int], text: str, role: str) -> ModelId:
    fitting = [model for model in counts if model.is_named(text)]
    if not fitting:
        raise UsageError(
            f"no response of the results is of the {role} {printable(text)[:80]}; the results have {_listed(counts)}"
        )
    if len(fitting) > 1:
        raise UsageError(
            f"the {role} {printable(text)[:80]} may be {len(fitting)} models of the results; give more of its digest: "
            f"{_listed({model: counts[model] for model in fitting})}"
        )
    return fitting[0]


def _listed(counts: Mapping[Any, int]) -> str:
    """Models and their counts, the most frequent first."""
    ordered = sorted(counts.items(), key=lambda each: -each[1])
    shown = ", ".join(f"{printable(str(what))}: {count:,}" for what, count in ordered[:_MAX_LISTED])
    return (shown + (", …" if len(ordered) > _MAX_LISTED else "")) or "no model"
