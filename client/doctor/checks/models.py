"""Checks the models of a registry: aliases, versions, golden images, shares of requests, and what the worker serves."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from client.doctor.clients import Clients
from client.doctor.deployment import Deployment
from client.doctor.finding import Finding, fail, ok, warn
from client.doctor.gcloud import gcloud
from client.doctor.subscription_settings import short
from client.gcp import UsageError
from client.text import printable
from model.artifact.composition import read_composition
from model.artifact.fetch import fetch_artifact
from model.artifact.load import ENGINES, Artifact, choose_engine, load_engine, read_artifact
from model.errors import ArtifactError, RegistryError
from model.library_output import quiet_libraries
from model.registry.aliases import STABLE, Alias
from model.registry.bucket import SCHEME
from model.registry.names import ModelRef, parse_ref
from model.registry.registry import Registry
from model.registry.shares import Share, shares

_READY_TIMEOUT_S = 30.0
"""Seconds to wait for /ready: an instance may have to start and load its models first."""


@dataclass(frozen=True, slots=True)
class ServedModels:
    """The models of a registry that the worker serves. `comparisons`: the full name of the topic for shadows."""

    address: str
    refs: tuple[ModelRef, ...]
    comparisons: str

    @classmethod
    def read(cls, address: str, models: str, comparisons: str) -> ServedModels | None:
        """Read the options --registry and --models; None without them. Raises UsageError."""
        if bool(address) != bool(models):
            given, absent = ("--registry", "--models") if address else ("--models", "--registry")
            raise UsageError(f"{given} is given and {absent} is not; give both")
        if not address:
            return None
        bucket, _, prefix = address.removeprefix(SCHEME).partition("/")
        if "://" in address and not (address.startswith(SCHEME) and bucket and prefix.strip("/")):
            raise UsageError(
                f"--registry is {printable(address)!r}; it must be a folder or look like gs://bucket/prefix"
            )
        try:
            refs = tuple(parse_ref(name.strip()) for name in models.split(","))
        except RegistryError as exc:
            raise UsageError(f"--models: {exc}") from None
        if fixed := [str(ref) for ref in refs if ref.version]:
            raise UsageError(f"--models has {fixed[0]}, a version; a worker serves aliases: NAME or NAME@ALIAS")
        names = [ref.name for ref in refs]
        if twice := [name for name in names if names.count(name) > 1]:
            raise UsageError(f"--models names {twice[0]} twice; name each model once, with the alias that is served")
        return cls(address, refs, comparisons)


def check_model(clients: Clients, served: ServedModels, ref: ModelRef, deployment: Deployment) -> Iterator[Finding]:
    """Yield a finding for each alias that a worker loads of a model, and one for the worker itself."""
    subject, alias = f"model {ref.name}", ref.alias or STABLE
    try:
        registry = Registry.at(served.address)
        aliases = registry.aliases(ref.name)
        if alias not in aliases:
            yield fail(subject, printable(str(registry.no_alias(ref.name, alias, aliases))), _create(registry, ref))
            return
    except RegistryError as exc:
        yield fail(subject, printable(str(exc)), _model(["list", ref.name], served.address))
        return
    loaded = [share for share in shares(aliases, alias) if share.is_loaded]
    for share in loaded:
        yield _check_version(registry, ref.name, share, aliases[share.alias])
    if aliases[alias].percent is not None or aliases[alias].shadow:
        message = f"{alias} is served, so that its own percentage and shadow have no effect"
        yield warn(subject, message, _model(["list", ref.name], served.address))
    if (copied := [share.alias for share in loaded if share.shadow]) and clients.topic(served.comparisons) is None:
        create = gcloud(clients.project, "pubsub", "topics", "create", short(served.comparisons))
        names = ", ".join(copied)
        yield fail(subject, f"{names} is a shadow, and its topic {short(served.comparisons)} does not exist", create)
    if deployment.url and (ready := _ready(deployment.url)) is not None:
        yield _compare(f"{subject} served", ready, ref.name, loaded, served.address, deployment)


def _check_version(registry: Registry, name: str, share: Share, alias: Alias) -> Finding:
    """Check that a version is complete, and that it scores its golden images as recorded."""
    subject, target = f"model {name}@{share.alias}", share.target
    repair = _repair(registry.address, name, share.alias, alias)
    try:
        version = registry.version(name, target.version)
        if version.target.digest != target.digest:
            message = f"{target.version} has the digest {version.target.digest[:19]}…, and the alias names another one"
            return fail(subject, message, repair)
        with TemporaryDirectory() as temporary:
            artifact = read_artifact(fetch_artifact(version.address, Path(temporary)))
            parts = artifact.members or (artifact,)
            if artifact.members:
                read_composition(artifact)
            try:
                choose_engine(artifact)
            except ArtifactError:
                needed = ENGINES[artifact.engines[0]].requirement
                message = f"{target.version} is complete, {share}; golden images not checked: no engine of it is here"
                return warn(subject, message, shlex.join(["pip", "install", needed]))
            engine = choose_engine(artifact)
            for part in parts:
                with quiet_libraries():
                    load_engine(part, engine)[1].close()
    except ArtifactError as exc:
        return fail(subject, printable(str(exc)), repair)
    return ok(subject, f"{target.version} is complete, {_scored(parts)} ({engine}); {share}")


def _scored(parts: Sequence[Artifact]) -> str:
    """What was found about the golden images of a model, or of the members of a combined one."""
    has_golden = all(part.golden for part in parts)
    if len(parts) == 1:
        return "scores its golden images as recorded" if has_golden else "has valid scores, and no golden images"
    if has_golden:
        return f"its {len(parts)} members score their golden images as recorded"
    return f"its {len(parts)} members have valid scores, and not all have golden images"


def _compare(
    subject: str,
    ready: Mapping[str, Any],
    name: str,
    loaded: Sequence[Share],
    address: str,
    deployment: Deployment,
) -> Finding:
    """Compare what the worker lists at /ready with what it should serve of a model."""
    listed = ready.get("models")
    if not isinstance(listed, list):
        message = f"the worker serves the artifact {ready.get('model')} {ready.get('version')}, and no registry"
        return fail(subject, printable(message), shlex.join(deployment.deploy))
    versions = {each.get("alias"): each.get("version") for each in listed if isinstance(each, dict)}
    others = [
        f"{share.alias} is {share.target.version}, and the worker has {there or 'not loaded it'}"
        for share in loaded
        if (there := versions.get(f"{name}@{share.alias}")) != share.target.version
    ]
    if not others:
        return ok(subject, "the worker has the versions that the aliases name")
    if versions.keys().isdisjoint(f"{name}@{share.alias}" for share in loaded):
        return ok(subject, "the worker loads this model with the first request for it")
    why = ready.get("problem") or "it follows a changed alias within half a minute"
    return warn(subject, printable(f"{'; '.join(others)}: {why}"), _model(["rollback", name], address))


def _ready(base: str) -> Mapping[str, Any] | None:
    """What the worker at `base` says at /ready; None where it does not answer, which another check reports."""
    import requests

    try:
        reply = requests.get(f"{base}/ready", timeout=_READY_TIMEOUT_S, allow_redirects=False)
        body = reply.json()
    except (requests.RequestException, ValueError):
        return None
    return body if reply.ok and isinstance(body, dict) else None


def _create(registry: Registry, ref: ModelRef) -> str:
    """The commands that create a missing alias."""
    versions = registry.versions(ref.name)
    version = versions[-1] if versions else "VERSION"
    move = _model(["alias", "set", ref.name, ref.alias or STABLE, version], registry.address)
    return move if versions else f"{_model(['push', 'FOLDER'], registry.address)} && {move}"


def _repair(address: str, name: str, alias: str, state: Alias) -> str:
    """The command that takes an alias back, or lists what it may name instead."""
    own = [] if alias == STABLE else [alias]
    return _model(["rollback", name, *own] if state.previous else ["list", name], address)


def _model(words: Sequence[str], address: str) -> str:
    return shlex.join(["predictions", "model", *words, "--registry", address])
