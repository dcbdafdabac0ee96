"""Reads what a version holds besides its network, and compares two versions. Needs none of the engines."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model.artifact.load import CARD, COMPOSITION
from model.artifact.manifest import GOLDEN, MANIFEST, parse_json
from model.errors import ArtifactError, RegistryError
from model.labels import parse_labels
from model.preprocessing.signature_schema import parse_signature
from model.registry.registry import Registry, Version

# The fields of signature.json that are not described by others.
_DESCRIBED = ("preprocessing", "reference")

Scores = Mapping[str, list[float]]
"""The scores of a golden image by engine, each of them [labels]."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a version holds. `engines`: the figures of each engine in the manifest. `signature`: signature.json.

    `golden`: the scores of the golden images, by the sha256 of the image. `card`: the address of the model card, empty
    when there is none. `composition`: composition.json of a combined model, empty for another one.
    """

    version: Version
    engines: Mapping[str, Mapping[str, Any]]
    labels: tuple[str, ...]
    signature: Mapping[str, Any]
    golden: Mapping[str, Scores]
    card: str
    composition: Mapping[str, Any]


def read_contents(registry: Registry, version: Version) -> Contents:
    """Read the small files of a version, and verify their sha256. Raises RegistryError."""
    where = version.address
    body = _object(_read(registry, version, MANIFEST, verified=False), f"{where}/{MANIFEST}")
    signature = _object(_read(registry, version, "signature.json"), f"{where}/signature.json")
    try:
        labels = parse_labels(_read(registry, version, "labels.txt").decode("utf-8-sig"))
        parse_signature(signature, labels)
    except (ArtifactError, ValueError) as exc:
        raise RegistryError(f"{where}: {exc}") from None
    golden = {}
    if version.manifest.golden:
        golden = _golden(_read(registry, version, GOLDEN), f"{where}/{GOLDEN}", len(labels))
    engines = {each["name"]: {k: v for k, v in each.items() if k != "name"} for each in body["engines"]}
    composition: Mapping[str, Any] = {}
    if COMPOSITION in version.manifest.files:
        composition = _object(_read(registry, version, COMPOSITION), f"{where}/{COMPOSITION}")
        if not isinstance(composition.get("members"), list):
            raise RegistryError(f"{where}/{COMPOSITION} must list its members")
    card = f"{where}/{CARD}" if CARD in version.files else ""
    return Contents(version, engines, tuple(labels), signature, golden, card, composition)


def compare(old: Contents, new: Contents) -> dict[str, Any]:
    """The differences of two versions; what is equal is left out. `golden`: the largest difference of a score for each
    engine, over the golden images that both have."""
    return {key: value for key, value in _differences(old, new).items() if value}


def _differences(old: Contents, new: Contents) -> dict[str, Any]:
    is_moved = old.labels != new.labels and set(old.labels) == set(new.labels)
    return {
        "labels": {
            "added": [label for label in new.labels if label not in old.labels],
            "removed": [label for label in old.labels if label not in new.labels],
            "order_changed": is_moved,
        }
        if old.labels != new.labels
        else {},
        "preprocessing": _changed({"recipe": _recipe(old)}, {"recipe": _recipe(new)}),
        "signature": _changed(_rest(old.signature), _rest(new.signature)),
        "composition": _changed(old.composition, new.composition),
        "engines": _changed(_engines(old), _engines(new)),
        "files": _changed(_files(old), _files(new)),
        "golden": _shifts(old, new),
    }


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    keys = [*old, *(key for key in new if key not in old)]
    return {key: {"from": old.get(key), "to": new.get(key)} for key in keys if old.get(key) != new.get(key)}


def _recipe(contents: Contents) -> object:
    return contents.signature.get("preprocessing")


def _rest(signature: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in signature.items() if key not in _DESCRIBED}


def _engines(contents: Contents) -> dict[str, Any]:
    figures = {
        f"{engine} {key}": value
        for engine, found in contents.engines.items()
        for key, value in found.items()
        if key != "file"
    }
    return {"order": list(contents.engines), "parameters": contents.version.manifest.parameters, **figures}


def _files(contents: Contents) -> dict[str, Any]:
    files = contents.version.manifest.files
    return {path: {"size": files[path].size, "sha256": files[path].sha256} for path in sorted(files)}


def _shifts(old: Contents, new: Contents) -> dict[str, Any]:
    """By engine: over the golden images that both have, the largest difference of a score, and how often the best label
    is the same. Scores are compared by label."""
    both = [label for label in old.labels if label in new.labels]
    shifts: dict[str, Any] = {}
    for engine in [each for each in old.engines if each in new.engines]:
        pairs = [
            (_by_label(old, scores[engine]), _by_label(new, new.golden[image][engine]))
            for image, scores in old.golden.items()
            if image in new.golden and engine in scores and engine in new.golden[image]
        ]
        if pairs and both:
            shifts[engine] = {
                "images": len(pairs),
                "same_best_label": sum(max(a, key=a.__getitem__) == max(b, key=b.__getitem__) for a, b in pairs),
                "largest_difference": round(max(abs(a[label] - b[label]) for a, b in pairs for label in both), 4),
            }
    return shifts


def _by_label(contents: Contents, scores: list[float]) -> dict[str, float]:
    return dict(zip(contents.labels, scores, strict=True))


def _read(registry: Registry, version: Version, path: str, verified: bool = True) -> bytes:
    stored = registry.storage.read(f"{version.name}/{version.manifest.version}/{path}")
    expected = version.manifest.verified.get(path)
    if stored is None or (verified and expected is None):
        raise RegistryError(f"{version.address} has no {path}; push the artifact again")
    if expected and hashlib.sha256(stored.content).hexdigest() != expected.sha256:
        raise RegistryError(f"{version.address}/{path} is altered: its sha256 is not the manifest's; push it again")
    return stored.content


def _object(data: bytes, name: str) -> dict[str, Any]:
    try:
        body = parse_json(data, name)
    except ArtifactError as exc:
        raise RegistryError(str(exc)) from None
    if not isinstance(body, dict):
        raise RegistryError(f"{name} must be a JSON object")
    return body


def _golden(data: bytes, name: str, labels: int) -> dict[str, Scores]:
    try:
        found: dict[str, Scores] = {
            hashlib.sha256(each["png"].encode()).hexdigest(): {
                engine: [float(score) for score in scores] for engine, scores in each["scores"].items()
            }
            for each in _object(data, name)["images"]
        }
    except (AttributeError, KeyError, TypeError, ValueError):
        raise RegistryError(f"{name} must hold images with the scores of each engine") from None
    if any(len(scores) != labels for image in found.values() for scores in image.values()):
        raise RegistryError(f"{name} must hold {labels} scores of each engine for each image")
    return found
