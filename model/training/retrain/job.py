"""One training request: fetches the data, trains, compares with the base on the held-out images, pushes.

A job may run again after it was interrupted: a version that was pushed is not trained again.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from model.artifact.fetch import fetch_artifact
from model.errors import ArtifactError, NotRegistered, RegistryError
from model.metrics import macro
from model.registry.aliases import CANDIDATE, STABLE, Target
from model.registry.names import check_alias, check_model_name, parse_ref
from model.registry.registry import Registry, Version
from model.training.errors import ConfigError, DatasetError, SourceError
from model.training.importing import catalog
from model.training.retrain.candidate import set_candidate
from model.training.retrain.data import TEST, Limits, fetch_all, fetch_parts
from model.training.transfer.config import TransferConfig, read_transfer_config

T = TypeVar("T")

MAX_SHARE = 0.3
"""Largest share of the images that validates: as many again are held out for the evaluation."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a training worker hands over. Paths are those of its settings, never a sender's.

    `version`: the version of a new artifact, which ends with `key`. `is_new`: a model that the registry lacks may be
    trained. `weights`: those of the backbone. `engines`: what is exported. `margin`: how much lower than that of `base`
    the accuracy may be, 0..1.
    """

    kind: str
    registry: str
    model: str
    data: str
    base: str = STABLE
    version: str = ""
    key: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    is_new: bool = False
    weights: str = "imagenet"
    engines: tuple[str, ...] = ("litert",)
    margin: float = 0.01
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Scored:
    """A version and its metrics: as `functions.messages.training.Scores`, which this package must not import."""

    target: Target
    engine: str
    images: int
    metrics: Mapping[str, float]


Result = dict[str, Any]
"""The fields `model`, `training` and `fetch_ms` of an answer."""


def run(job: Job, work: Path) -> Result:
    """Run a job in the empty folder `work`.

    Raises ConfigError and DatasetError for what the sender must change, NotRegistered for an unknown model, and other
    TrainingErrors, ArtifactErrors and errors of Google's client for what another attempt may not meet.
    """
    registry = Registry.at(job.registry)
    return _train(job, registry, work) if job.kind == "train" else _evaluate(job, registry, work)


def _evaluate(job: Job, registry: Registry, work: Path) -> Result:
    ref = _named(parse_ref, job.model)
    target = registry.target(ref)
    began = time.monotonic()
    fetch_all(job.data, work / "data", job.limits)
    fetch_ms = 1000 * (time.monotonic() - began)
    scored = _score(registry, ref.name, target, work / "data", work / "models")
    message = f"{ref.name} {target.version} is right on {scored.metrics['accuracy']:.2%} of {scored.images:,} images"
    return _result(ref.name, scored, fetch_ms, message=message)


def _train(job: Job, registry: Registry, work: Path) -> Result:
    name, base_alias = _named(check_model_name, job.model), _named(check_alias, job.base)
    if not job.is_new and not registry.versions(name):
        raise NotRegistered(
            f"{registry.address} has no model {name}; the models are {', '.join(registry.names()) or 'none'}, and "
            "TRAIN_MODELS allows new ones"
        )
    if base_alias != STABLE and base_alias not in (aliases := registry.aliases(name)):
        raise registry.no_alias(name, base_alias, aliases)
    config, quick = _config(job, name, work / "data")
    began = time.monotonic()
    count = fetch_parts(job.data, work / "data", config.validation_share, job.limits)
    fetch_ms = 1000 * (time.monotonic() - began)
    _say(f"{count:,} images fetched from {job.data}")
    pushed = _pushed(registry, name, job.key) or _new_version(job, registry, name, config, quick, work)
    test = work / "data" / TEST
    scored = _score(registry, name, pushed.target, test, work / "models")
    aliases = registry.aliases(name)
    base, why = None, f"there is no {base_alias} to compare it with"
    if base_alias in aliases:
        try:
            base = _score(registry, name, aliases[base_alias].target, test, work / "models")
        except (ArtifactError, DatasetError) as exc:  # its artifact is broken, or it lacks a class of the data
            why = f"it cannot be compared with {base_alias} {aliases[base_alias].target.version}: {exc}"
    if base:
        own, other = scored.metrics["accuracy"], base.metrics["accuracy"]
        why = f"its accuracy is {own:.2%}, that of {base_alias} {base.target.version} {other:.2%}"
        if own < other - job.margin:
            refused = f"{CANDIDATE} is not set: {why}, and at most {job.margin:.2%} more is allowed"
            return _result(name, scored, fetch_ms, base_alias, base, message=refused)
    is_set, said = set_candidate(registry, name, pushed.target)
    return _result(name, scored, fetch_ms, base_alias, base, is_set, f"{said}; {why}")


def _named(check: Callable[[str], T], text: str) -> T:
    """What `check` returns for a name. Raises ConfigError, because only the sender can change it."""
    try:
        return check(text)
    except RegistryError as exc:
        raise ConfigError(str(exc)) from None


def _config(job: Job, name: str, data: Path) -> tuple[TransferConfig, bool]:
    """The configuration of the training, and whether to measure quickly. Raises ConfigError."""
    given = dict(job.config)
    quick = bool(given.pop("quick", False))
    named = name.replace(".", "-").replace("_", "-")
    config = read_transfer_config(None, {**given, "name": named, "data": str(data), "weights": job.weights})
    if config.validation_share > MAX_SHARE:
        raise ConfigError(
            f"validation_share is {config.validation_share:g}; it must be at most {MAX_SHARE:g}, because as many "
            "images again are held out for the evaluation"
        )
    try:
        catalog.find(config.backbone)
    except SourceError as exc:
        raise ConfigError(str(exc)) from None
    return config, quick


def _pushed(registry: Registry, name: str, key: str) -> Version | None:
    """The version that an earlier attempt at the same request pushed, if it is complete."""
    for version in registry.versions(name):
        if version.endswith(f"-{key}"):
            with suppress(RegistryError):  # the push of a killed attempt is not complete
                return registry.version(name, version)
    return None


def _new_version(job: Job, registry: Registry, name: str, config: TransferConfig, quick: bool, work: Path) -> Version:
    from model.training.transfer.export import export_run
    from model.training.transfer.train import transfer

    transfer(config, work / "run")
    artifact = export_run(work / "run", work / "artifact", job.engines, quick)
    # A broker may deliver a request twice at a time: the first version that is pushed counts.
    if earlier := _pushed(registry, name, job.key):
        return earlier
    try:
        version = registry.push(artifact.folder, name, job.version)
    except RegistryError:
        if earlier := _pushed(registry, name, job.key):
            return earlier
        raise
    _say(f"{name} {version.target.version} is pushed to {registry.address}")
    return version


def _score(registry: Registry, name: str, target: Target, data: Path, cache: Path) -> Scored:
    """The metrics of a version on labelled images. Raises ArtifactError, or DatasetError when a class is no label."""
    from model.training.evaluation.evaluate import evaluate

    folder = fetch_artifact(registry.address_of(name, target.version), cache)
    found = evaluate(folder, data=data)
    _, _, f1 = macro(list(found.classes.values()))
    metrics = {"accuracy": found.accuracy, "macro_f1": f1, "calibration_error": found.calibration.error}
    return Scored(target, found.engine, len(found.scored.items), metrics)


def _result(
    name: str,
    scored: Scored,
    fetch_ms: float,
    alias: str | None = None,
    base: Scored | None = None,
    is_candidate: bool = False,
    message: str = "",
) -> Result:
    base_metrics = base.metrics if base else dict.fromkeys(scored.metrics)
    return {
        "model": {
            "name": name,
            "version": scored.target.version,
            "digest": scored.target.digest,
            "engine": scored.engine,
        },
        "training": {
            "images": scored.images,
            **scored.metrics,
            "candidate": is_candidate,
            "message": message,
            "base": alias if base else None,
            "base_version": base.target.version if base else None,
            **{f"base_{key}": value for key, value in base_metrics.items()},
        },
        "fetch_ms": fetch_ms,
    }


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
