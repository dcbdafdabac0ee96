"""Writes an artifact: its files, its manifest, and the swap that replaces the previous artifact."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import keras

from model.artifact.golden import record
from model.artifact.load import CARD, ENGINES, EVALUATION, open_engine
from model.artifact.manifest import GOLDEN, MANIFEST, SCHEMA_VERSION, describe_file, digest_of
from model.drift import KEY, Reference
from model.engines.base import PROBABILITIES, Signature
from model.labels import parse_labels
from model.text import read_text
from model.training.export.activation_maps import Explain
from model.training.export.benchmark import Speed
from model.training.export.source import Endpoints

_NOT_IN_DIGEST = (CARD, EVALUATION, GOLDEN, MANIFEST, "training")


def write_saved_model(folder: Path, network: Any, shape: Sequence[int], explain: Explain | None) -> Endpoints:
    """Write a SavedModel of the network with the endpoint `score` and, if given, `explain`.

    Both endpoints take `images` float32 [N, *shape]. They run the network as it predicts: its layers for training, such
    as random flips and dropout, do nothing.
    """
    # The name must not be "serve": the LiteRT converter drops every other endpoint when one has that name.
    endpoints = {"score": partial(network.call, training=False), **({"explain": explain} if explain else {})}
    archive = keras.export.ExportArchive()
    archive.track(network)
    spec = keras.InputSpec(dtype="float32", shape=(None, *shape), name="images")
    for name, endpoint in endpoints.items():
        archive.add_endpoint(name, endpoint, [spec])
    archive.write_out(str(folder), verbose=False)
    return Endpoints(tuple(endpoints), spec.name)


def write_signature(work: Path, signature: Signature, reference: Reference | None = None) -> None:
    """Write signature.json and labels.txt."""
    body = asdict(signature)
    labels = body.pop("labels")
    if signature.outputs == PROBABILITIES:  # a worker that does not know the field can serve the artifact
        del body["outputs"]
    if signature.multi_label:
        body["multi_label"] = True
    else:
        del body["threshold"]
    if reference:
        body[KEY] = reference.to_dict()
    (work / "signature.json").write_text(json.dumps(body, indent=2) + "\n", "utf-8")
    (work / "labels.txt").write_text("".join(f"{label}\n" for label in labels), "utf-8")


def read_signature(folder: Path) -> Signature:
    """Read what `write_signature` wrote, without the drift reference."""
    body = json.loads(read_text(folder / "signature.json"))
    for derived in (KEY, "multi_label"):
        body.pop(derived, None)
    return Signature(labels=parse_labels(read_text(folder / "labels.txt")), **body)


def write_golden(work: Path, signature: Signature, engines: Iterable[str]) -> None:
    """Write golden.json: the scores of the engines in `work` for the golden images."""
    with ExitStack() as stack:
        opened = {name: open_engine(name, work / ENGINES[name].path, signature) for name in engines}
        for engine in opened.values():
            stack.callback(engine.close)
        (work / GOLDEN).write_bytes(record(signature, opened))


def write_manifest(
    work: Path,
    name: str,
    version: str,
    speeds: Mapping[str, Speed | None],
    variants: Mapping[str, str] | None = None,
    parameters: int = 0,
) -> None:
    """Write manifest.json for the files in `work`, including golden.json; the engines keep the order of `speeds`.

    `variants`: the variant of each engine's file. It and `parameters` are left out of the manifest when empty.
    """
    paths = (path for path in work.rglob("*") if path.is_file())
    names = sorted(path.relative_to(work).as_posix() for path in paths)
    files = {path: describe_file(work / path) for path in names if path.split("/")[0] not in _NOT_IN_DIGEST}
    named = {engine: {"variant": variant} for engine, variant in (variants or {}).items() if variant}
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "version": version,
        "digest": digest_of(files),
        **({"parameters": parameters} if parameters else {}),
        "files": {path: asdict(file) for path, file in files.items()},
        **({"golden": asdict(describe_file(work / GOLDEN))} if (work / GOLDEN).is_file() else {}),
        "engines": [
            {"name": engine, "file": ENGINES[engine].path, **named.get(engine, {}), **_figures(speed)}
            for engine, speed in speeds.items()
        ],
    }
    (work / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", "utf-8")


def set_version(work: Path, version: str) -> None:
    """Change the version in manifest.json."""
    manifest = json.loads((work / MANIFEST).read_text("utf-8"))
    (work / MANIFEST).write_text(json.dumps({**manifest, "version": version}, indent=2) + "\n", "utf-8")


def replace(work: Path, out: Path) -> None:
    """Move the finished folder to `out`; the previous one is deleted after the new one is in place."""
    old = out.with_name(f"{out.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    work.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def _figures(speed: Speed | None) -> dict[str, float]:
    return (
        {"images_per_second": round(speed.images_per_second), "cold_start_s": round(speed.cold_start_s, 2)}
        if speed
        else {}
    )
