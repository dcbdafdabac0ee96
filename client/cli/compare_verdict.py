"""The verdict of the command compare: reads or receives what is compared, judges it, and keeps the verdict."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from client.gcp import Cloud, UsageError
from client.report.truth import Truth
from client.results.output import Messages
from client.text import printable
from client.verdicts.measures import measure, never_predicted
from client.verdicts.output import compared, reasons, to_dict, to_lines
from client.verdicts.registered import completed
from client.verdicts.samples import Chosen, Samples, of_canary, of_comparisons, of_pairs
from client.verdicts.verdict import Judgement, Thresholds, judge
from functions.messages.comparison import Comparison
from model.errors import ArtifactError, RegistryError
from model.registry.aliases import Target
from model.registry.names import ModelRef, parse_ref
from model.registry.registry import Registry, now
from model.registry.verdicts import Verdict, save_verdict

NOT_PROMOTABLE = 3
"""Exit code of a verdict that does not allow a promotion."""

_IDLE_S = 10.0
"""Seconds without a comparison after which there are no more, where no other end is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The arguments of compare."""

    paths: Sequence[Path]
    shadow: bool
    canary: str
    as_json: bool
    stable: str
    candidate: str
    min_images: int
    margin: float
    max_disagreement: float | None
    max_error_increase: float
    max_latency_ratio: float | None
    registry: str
    save: bool
    only: str
    duration: float | None
    images: int | None
    idle: float | None
    output: Path | None
    subscription: str
    project: str

    @property
    def thresholds(self) -> Thresholds:
        """The limits of the candidate."""
        return Thresholds(
            self.min_images, self.margin, self.max_disagreement, self.max_error_increase, self.max_latency_ratio
        )


def show_verdict(asked: Asked, truth: Truth | None) -> int:
    """Compare, print the figures and the verdict, and return the exit code. Raises UsageError, SendError, OSError."""
    if asked.save and not asked.registry:
        raise UsageError("--save: give --registry ADDRESS, or set REGISTRY")
    messages = Messages()
    samples = _samples(asked, messages)
    found = measure(samples, truth)
    judged = judge(samples.source, found, asked.thresholds)
    if asked.as_json:
        print(json.dumps(to_dict(samples, found, judged)))
    else:
        print("\n".join(to_lines(samples, found, judged)))
    for note in samples.notes:
        messages.show(note)
    for label in never_predicted(samples, truth) if truth else ():
        messages.show(f"{printable(label)} is never predicted; is it a label of the models?")
    verdict = _saved_form(samples, judged)
    if asked.save:
        try:
            with closing(Registry.at(asked.registry)) as registry:
                messages.show(f"saved: {printable(save_verdict(registry, verdict))}")
        except ArtifactError as exc:
            messages.show(f"the verdict is not saved: {printable(str(exc))}")
            return 1
    return 0 if verdict.may_be_promoted else NOT_PROMOTABLE


def _samples(asked: Asked, messages: Messages) -> Samples:
    from client.jobs.rows import read_rows
    from client.report.by_image import refuse_repeated
    from client.report.comparison import compare

    chosen = Chosen(asked.stable, asked.candidate)
    if asked.shadow:
        only = _reference(asked.only, "--only") if asked.only else None
        return of_comparisons(
            _comparisons(asked, messages), only.name if only else "", (only and only.alias) or "", chosen
        )
    if asked.canary:
        ref = _reference(asked.canary, "--canary")
        return of_canary(read_rows(asked.paths, messages.show), ref.name, _resolved(asked, ref))
    names = str(asked.paths[0]), str(asked.paths[1])
    found = compare(*(read_rows([path], messages.show) for path in asked.paths))
    for name, repeated in zip(names, found.repeated, strict=True):
        refuse_repeated(repeated, printable(name))
    if not found.pairs:
        raise UsageError(
            f"{printable(names[0])} and {printable(names[1])} have no file and no request id in common; use --canary "
            "NAME for the shares of a canary"
        )
    return of_pairs(names, found.pairs, found.only, chosen)


def _reference(text: str, option: str) -> ModelRef:
    try:
        return parse_ref(text)
    except RegistryError as exc:
        raise UsageError(f"{option}: {exc}") from None


def _resolved(asked: Asked, ref: ModelRef) -> Chosen:
    """The two models of a canary: those that the options name, else those that the aliases name. Raises UsageError."""
    chosen = Chosen(asked.stable, asked.candidate or ref.version or "")
    if not asked.registry or (chosen.stable and chosen.candidate):
        return chosen
    try:
        with closing(Registry.at(asked.registry)) as registry:
            return completed(registry, ref, chosen)
    except ArtifactError as exc:
        raise UsageError(f"--registry: {printable(str(exc))}") from None


def _comparisons(asked: Asked, messages: Messages) -> Iterator[Comparison]:
    """Yield the comparisons of the files, or of the file to which those of the subscription are added."""
    from client.verdicts.comparison_file import read_comparisons

    paths = asked.paths
    if not paths:
        paths = [_receive(asked, messages)]
    elif asked.output or asked.duration or asked.images or asked.idle:
        raise UsageError("--output, --for, --images and --until-idle: nothing is received, because a file is named")
    for path in paths:
        yield from read_comparisons(path, messages.show)


def _receive(asked: Asked, messages: Messages) -> Path:
    """Write the comparisons of the subscription to the output file, and return its path."""
    from client import emulators
    from client.verdicts.comparison_file import ComparisonWriter
    from client.verdicts.comparison_subscription import drain

    if not asked.output:
        raise UsageError("no file is named: give --output FILE.jsonl, or a file of saved comparisons")
    path = Cloud(asked.project).subscription_path(asked.subscription)
    emulators.check_answers(emulators.PUBSUB)
    idle = asked.idle if asked.idle or asked.duration or asked.images else _IDLE_S
    with ComparisonWriter(asked.output, messages.show) as writer:
        messages.show(f"receiving from {printable(path)}; Ctrl-C ends it")
        try:
            count = drain(
                path,
                writer.write,
                messages.show,
                messages.progress_count,
                duration_s=asked.duration,
                idle_s=idle,
                images=asked.images,
            )
        finally:
            messages.clear()
    messages.show(f"{count:,} comparisons received; {printable(str(asked.output))} has them")
    return asked.output


def _saved_form(samples: Samples, judged: Judgement) -> Verdict:
    stable, candidate = samples.models
    return Verdict(
        stable.name,
        Target(stable.version, stable.digest),
        Target(candidate.version, candidate.digest),
        judged.verdict,
        compared(samples),
        {"stable": len(samples.rows[0]), "candidate": len(samples.rows[1])},
        asdict(judged.thresholds),
        tuple(reasons(judged)),
        now(),
    )
