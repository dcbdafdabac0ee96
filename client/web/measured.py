"""Evaluations and comparisons of the page's jobs, with the calculations of the commands evaluate and compare."""

from __future__ import annotations

import shlex
import socket
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from client.gcp import UsageError
from client.jobs.job import Job
from client.jobs.rows import PREFIX
from client.jobs.store import JobStore
from client.report.comparison import compare
from client.report.evaluation import evaluate, left_out
from client.report.evaluation import never_predicted as never_predicted_by_one
from client.report.summary import PERCENTILES, summarize
from client.report.thumbnails import thumbnail
from client.report.truth import Truth
from client.results.record import Record
from client.results.result_files import read_distinct
from client.text import printable
from client.verdicts.measures import measure, never_predicted
from client.verdicts.output import to_dict
from client.verdicts.registered import completed, saved_verdict
from client.verdicts.samples import Chosen, ModelId, Samples, of_canary
from client.verdicts.verdict import Thresholds, judge
from client.web.labels import Labels, own_labels, place_of_labels, sent_labels
from client.web.page_files import PageFiles
from client.web.registry import PageRegistry
from client.web.settings import MARK
from model.errors import ArtifactError
from model.registry.names import ModelRef, parse_ref

_JOBS = 200
"""The newest jobs, which can be measured."""

_MOST = 100_000
"""Rows that are measured at a time: about a second, and 100 MB. The commands have no such limit."""

_LABELS = 2_000
"""Labels of the largest confusion matrix: one of 4,000,000 numbers has 8 MB as JSON."""

_NAMED = 3
"""Jobs that a command names."""


@dataclass(frozen=True, slots=True)
class Question:
    """Which rows are compared: those of `jobs` by the model `model`, NAME[@ALIAS]; empty for what the rows suggest.

    `stable`, `candidate`: versions or digests; empty for those of the registry, or what the rows suggest.
    """

    jobs: Sequence[str]
    model: str = ""
    stable: str = ""
    candidate: str = ""


class Measured:
    """All methods block. They raise UsageError, StoreError, ArtifactError and Google's exceptions."""

    def __init__(self, store: JobStore, files: PageFiles, registry: str) -> None:
        self._store, self._files, self._registry = store, files, PageRegistry(registry)

    def jobs(self) -> list[dict[str, Any]]:
        """Return the newest jobs, and where their images' labels may be: a folder or file, or nothing."""
        return [
            {
                "job": job.id,
                "sends": printable(job.definition.described),
                "images": counts.total,
                "answered": counts.answered,
                "labels": printable(place_of_labels(job)),
            }
            for job in islice(self._store.jobs(), _JOBS)
            for counts in [job.counts()]
        ]

    def evaluation(self, job_id: str, labels: bytes) -> dict[str, Any]:
        """Measure a job, as `predictions evaluate job:JOB --labels LABELS --json` does. Without `labels`, the content
        of a CSV file, the labels are those where the job's images are.

        `mistakes` have the number `n` of their row, and `thumbnail`, the address of one where there is one.
        """
        job = self._store.find(job_id)
        known = sent_labels(labels) if labels else own_labels(job)
        notes: list[str] = []
        rows = self._rows([job.id], notes)
        places = {record.request_id: (n, record) for n, record in enumerate(job.records(), 1)}
        located = [known.located(record) for record in rows]
        _check_labels(located, known.truth)
        found = evaluate(located, known.truth)
        notes += left_out(found)
        notes += [
            f"{printable(each)} is never predicted; is it a label of the model?"
            for each in never_predicted_by_one(found)
        ]
        kept = self._files.kept(job.id)
        made = found.to_dict()
        for each, mistake in zip(made["mistakes"], found.mistakes, strict=True):
            request_id = mistake.record.request_id
            n, row = places[request_id]
            each |= {"n": n, "file": row.file, "thumbnail": ""}
            if "thumbnail" in kept.get(n, ()):
                each["thumbnail"] = f"/api/rows/{job.id}/{n}/thumbnail"
            elif self._path(job, row):
                each["thumbnail"] = f"/api/evaluation/thumbnails/{job.id}?request_id={quote(request_id, safe='')}"
        command = ["predictions", "evaluate", f"{PREFIX}{job.id}", "--labels", known.name]
        return {**made, "notes": notes, "command": printable(shlex.join(command))}

    def thumbnail(self, job_id: str, request_id: str) -> bytes:
        """Return a small JPEG of an image that a command has sent from this machine; empty where it is not there."""
        job = self._store.find(job_id)
        path = next((path for row in job.find(request_id) if (path := self._path(job, row))), None)
        return thumbnail(path) if path else b""

    def comparison(self, asked: Question, labels: bytes, *, own: bool = False) -> dict[str, Any]:
        """Compare two versions of a model, as `predictions compare --canary NAME job:JOB… --json` does.

        `models`: those of the rows. `found`: the object of the command, None where the two versions are not among the
        rows, with the reason `why`.
        `sides`: the figures of each version's rows. `same`: equal labels of images that both answered. `saved`: the
        verdict that the registry has. With `own`, the labels are those where the images of the one job are.
        """
        ids = list(asked.jobs) or [job.id for job in islice(self._store.jobs(), _JOBS)]
        notes: list[str] = []
        known = sent_labels(labels) if labels else self._own_labels(ids) if own else None
        rows = self._rows(ids, notes)
        counts = Counter(ModelId.of(row) for row in rows if row.model_digest)
        listed = [{**asdict(model), "images": count} for model, count in counts.most_common()]
        try:
            name, chosen = self._chosen(asked, counts, notes)
            samples = of_canary([known.located(row) for row in rows] if known else rows, name, chosen)
        except UsageError as exc:
            return {"models": listed, "found": None, "why": str(exc)}
        notes += samples.notes
        same = compare(*samples.rows)
        return {
            "models": listed,
            "found": _judged(samples, known.truth if known else None, notes),
            "percentiles": PERCENTILES,
            "sides": _sides(samples),
            "same": {
                "images": len(same.equal) + len(same.changed),
                "equal": len(same.equal),
                "share": same.equal_share,
            },
            "saved": self._saved(samples.models, notes),
            "notes": notes,
            "command": _command(samples, ids, known),
        }

    def _own_labels(self, ids: Sequence[str]) -> Labels:
        if len(ids) != 1:
            raise UsageError("the labels where a job's images are need one job: choose it, or choose a CSV file")
        return own_labels(self._store.find(ids[0]))

    def _rows(self, ids: Sequence[str], notes: list[str]) -> list[Record]:
        """The rows of jobs, each request once. Raises UsageError for more than _MOST."""
        images = sum(self._store.find(each).counts().total for each in ids)
        if images > _MOST:
            raise UsageError(
                f"there are {images:,} images, and the page measures {_MOST:,}: choose fewer jobs, or use the commands "
                "evaluate and compare"
            )
        return read_distinct(map(Path, ids), notes.append, lambda path, warn: self._store.find(str(path)).records())

    def _path(self, job: Job, record: Record) -> Path | None:
        """The file of an image that a command of this machine has sent, if it is still there."""
        made = job.definition
        if made.machine != socket.gethostname() or dict(made.selection) == MARK or not record.file:
            return None  # the name of an image of the page says nothing about files of this machine
        path = Path(made.folder, record.file)
        return path if path.is_file() else None

    def _chosen(self, asked: Question, counts: Counter[ModelId], notes: list[str]) -> tuple[str, Chosen]:
        """The name of the model, and its two versions. Raises UsageError where the rows have no two."""
        versions = Counter(model.name for model in counts)
        ref = parse_ref(asked.model) if asked.model else None
        if ref is None:
            several = [model.name for model, _ in counts.most_common() if versions[model.name] > 1]
            if not several:
                raise _one_version(counts)
            ref = ModelRef(several[0])
        chosen = Chosen(asked.stable, asked.candidate)
        if self._registry.address and not (chosen.stable and chosen.candidate):
            try:
                with self._registry.opened() as registry:
                    return ref.name, completed(registry, ref, chosen)
            except ArtifactError as exc:
                notes.append(printable(str(exc)))
        if chosen.stable and chosen.candidate:
            return ref.name, chosen
        own = [model for model, _ in counts.most_common() if model.name == ref.name]
        stable = chosen.stable or next((each.digest for each in own if not each.is_named(chosen.candidate)), "")
        others = [each.digest for each in own if not each.is_named(stable)]
        if not stable or not others:
            raise _one_version(counts)
        notes.append("which version is stable is taken from the number of images, because no registry says it")
        return ref.name, Chosen(stable, chosen.candidate or others[0])

    def _saved(self, models: tuple[ModelId, ModelId], notes: list[str]) -> dict[str, Any] | None:
        if not self._registry.address:
            return None
        try:
            with self._registry.opened() as registry:
                found = saved_verdict(registry, models)
        except ArtifactError as exc:
            notes.append(printable(str(exc)))
            return None
        return asdict(found) if found else None


def _check_labels(rows: Sequence[Record], truth: Truth) -> None:
    """Raise UsageError where the confusion matrix of these rows has more than _LABELS labels."""
    files = [(truth.file_of(row), row.label) for row in rows if row.answered]
    labels = {label for file, predicted in files if file for label in (truth.labels[file], predicted)}
    if len(labels) > _LABELS:
        raise UsageError(
            f"these images have {len(labels):,} labels, and the page measures {_LABELS:,}: is the column label right? "
            "The command evaluate has no such limit"
        )


def _judged(samples: Samples, truth: Truth | None, notes: list[str]) -> dict[str, Any]:
    """The object of the command compare, and a note for each label that looks misspelt."""
    found = measure(samples, truth)
    for label in never_predicted(samples, truth) if truth else ():
        notes.append(f"{printable(label)} is never predicted; is it a label of the models?")
    return to_dict(samples, found, judge(samples.source, found, Thresholds()))


def _sides(samples: Samples) -> list[dict[str, Any]]:
    total = sum(map(len, samples.rows))
    summaries = [summarize(side) for side in samples.rows]
    return [
        {
            "images": len(each.records),
            "share": len(each.records) / total,
            "errors": each.errors,
            "latency": each.percentiles,
        }
        for each in summaries
    ]


def _command(samples: Samples, ids: Sequence[str], known: Labels | None) -> str:
    """The command that prints the same figures; of many jobs it names the first ones."""
    stable, candidate = samples.models
    words = ["predictions", "compare", "--canary", stable.name]
    words += ["--stable", stable.digest, "--candidate", candidate.digest]
    words += [*(["--labels", known.name] if known else []), *(f"{PREFIX}{each}" for each in ids[:_NAMED])]
    more = f" and the {len(ids) - _NAMED:,} other jobs" if len(ids) > _NAMED else ""
    return printable(shlex.join(words)) + more


def _one_version(counts: Counter[ModelId]) -> UsageError:
    models = ", ".join(f"{model}: {count:,}" for model, count in counts.most_common(5)) or "no model"
    return UsageError(f"a comparison needs responses of two versions of a model; these images have {models}")
