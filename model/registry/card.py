"""Reads what people ask about a model: its engines, labels and kept evaluation. Needs none of the engines.

The artifact is a version of a registry, or lies in a folder or bucket of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model.artifact.evaluation import parse_evaluation
from model.artifact.load import EVALUATION
from model.artifact.manifest import MANIFEST, Manifest, parse_json, parse_manifest
from model.errors import ArtifactError
from model.labels import parse_labels
from model.registry.names import ModelRef
from model.registry.registry import Registry
from model.registry.storage import Storage


@dataclass(frozen=True, slots=True)
class Card:
    """A model. `engines`: those of the manifest with their figures, the fastest first.

    `evaluation`: the object of evaluation.json. Without it, `problem` says in a sentence why there is none.
    """

    manifest: Manifest
    address: str
    engines: Sequence[Mapping[str, Any]]
    labels: tuple[str, ...]
    evaluation: Mapping[str, Any] | None
    problem: str = ""


def card_of_version(registry: Registry, ref: ModelRef) -> Card:
    """The card of the version that a reference names in a registry. Raises RegistryError for one that is not there."""
    target = registry.target(ref)
    version = registry.version(ref.name, target.version)
    return _card(registry.storage, f"{ref.name}/{target.version}/", version.address)


def card_of_artifact(place: Registry) -> Card:
    """The card of the artifact that lies at the place of a registry. Raises ArtifactError when it cannot be used."""
    return _card(place.storage, "", place.address)


def _card(storage: Storage, prefix: str, address: str) -> Card:
    stored = storage.read(f"{prefix}{MANIFEST}")
    if stored is None:
        raise ArtifactError(f"{address} holds no {MANIFEST}, so it is no artifact")
    manifest = parse_manifest(stored.content)
    listed = storage.read(f"{prefix}labels.txt")
    expected = manifest.files.get("labels.txt")
    if listed is None or expected is None or hashlib.sha256(listed.content).hexdigest() != expected.sha256:
        raise ArtifactError(f"labels.txt in {address} is missing or altered; push or export the artifact again")
    labels = parse_labels(listed.content.decode("utf-8-sig"))
    evaluation, problem = None, ""
    kept = storage.read(f"{prefix}{EVALUATION}")
    try:
        if kept is None:
            raise ArtifactError(
                f"the artifact has no {EVALUATION}; predictions model evaluate ARTIFACT --data FOLDER --save makes it, "
                "and a push adds it to the registry"
            )
        evaluation = parse_evaluation(kept.content, manifest.digest, EVALUATION)
    except ArtifactError as exc:
        problem = str(exc)
    return Card(manifest, address, parse_json(stored.content, MANIFEST)["engines"], labels, evaluation, problem)
