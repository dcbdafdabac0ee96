"""Reads and verifies an artifact, and loads the requested or the fastest of its engines.

An artifact is a folder: manifest.json, signature.json, labels.txt, saved_model/, model.tflite, model.onnx, golden.json,
MODEL_CARD.md, evaluation.json, training/. model/training/export/ writes it; fetch.py downloads it from a bucket. A
combined model has members instead of a network: see composition.py. Importing this module loads none of the engines'
libraries.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from model.artifact.manifest import MANIFEST, File, Manifest, check_file, parse_json, parse_manifest, read_text_file
from model.engines.base import Engine, Signature
from model.engines.gpu import CPU, why_unused
from model.errors import ArtifactError
from model.labels import parse_labels
from model.preprocessing.signature_schema import parse_signature

__all__ = [
    "AUTO",
    "DEVICES",
    "ENGINES",
    "GPU",
    "Artifact",
    "ArtifactError",
    "choose_engine",
    "engine_bytes",
    "gpu_engines",
    "load_engine",
    "open_engine",
    "read_artifact",
]

AUTO = "auto"

COMPOSITION = "composition.json"
"""The file that makes an artifact a combined model."""

CARD = "MODEL_CARD.md"
"""The description of a model for people, which the manifest does not list."""

EVALUATION = "evaluation.json"
"""The figures of a model on labelled images: see evaluation.py. The manifest does not list it either."""

# Values of `device`: a GPU where the engine finds one, and no start without one.
GPU = "gpu"
DEVICES = AUTO, GPU


@dataclass(frozen=True, slots=True)
class Runtime:
    """What an engine needs: its Python module, the requirement that installs it, and its path in the artifact.

    `uses_gpu`: whether it can score on a GPU.
    """

    module: str
    requirement: str
    path: str
    uses_gpu: bool = True


ENGINES = {
    "litert": Runtime("ai_edge_litert", "ai-edge-litert", "model.tflite", uses_gpu=False),
    "savedmodel": Runtime("tensorflow", "tensorflow", "saved_model"),
    "onnx": Runtime("onnxruntime", "onnxruntime", "model.onnx"),
}


@dataclass(frozen=True, slots=True)
class Artifact:
    """A verified artifact. `digest` identifies its files; `engines` are ordered by speed as export measured it.

    `members`: those of a combined model; its `engines` are those that all of them have.
    """

    name: str
    version: str
    digest: str
    signature: Signature
    folder: Path
    engines: tuple[str, ...]
    parameters: int | None = None
    golden: File | None = None
    members: tuple[Artifact, ...] = ()


def read_artifact(folder: Path) -> Artifact:
    """Read and verify an artifact: every file that affects a prediction is present and unaltered.

    Raises ArtifactError, which names the file and the problem.
    """
    written = read_text_file(folder, MANIFEST)
    try:
        manifest = parse_manifest(written)
    except ArtifactError as exc:
        raise ArtifactError(f"{folder}: {exc}") from None
    for path, file in sorted(manifest.verified.items()):
        check_file(folder, path, file)
    for name in manifest.engines:
        if name not in ENGINES:
            raise ArtifactError(f"{folder}: {MANIFEST} names the engine {name!r}; known are {', '.join(ENGINES)}")
        path = ENGINES[name].path
        if not any(listed in (path, COMPOSITION) or listed.startswith(f"{path}/") for listed in manifest.files):
            raise ArtifactError(f"{folder}: {MANIFEST} lists the engine {name} but not its {path}")
    for path in ("labels.txt", "signature.json"):
        if path not in manifest.files:
            raise ArtifactError(f"{folder}: {MANIFEST} does not list {path}")
    try:
        labels = parse_labels(read_text_file(folder, "labels.txt").decode("utf-8-sig"))
        body = parse_json(read_text_file(folder, "signature.json"), "signature.json")
        signature = parse_signature(body, labels)
    except UnicodeDecodeError:
        raise ArtifactError(f"{folder}: labels.txt is not UTF-8") from None
    except (ArtifactError, ValueError) as exc:
        raise ArtifactError(f"{folder}: {exc}") from exc
    members = _members(folder, manifest) if COMPOSITION in manifest.files else ()
    return Artifact(
        manifest.name,
        manifest.version,
        manifest.digest,
        signature,
        folder,
        manifest.engines,
        manifest.parameters,
        manifest.golden,
        members,
    )


def _members(folder: Path, manifest: Manifest) -> tuple[Artifact, ...]:
    """The members of a combined model, which has them in folders that are numbered from 1."""
    listed = {path for path in manifest.files if path.startswith("members/") and path.endswith(f"/{MANIFEST}")}
    expected = [f"members/{number}" for number in range(1, len(listed) + 1)]
    if listed != {f"{member}/{MANIFEST}" for member in expected}:
        raise ArtifactError(f"{folder}: {MANIFEST} lists {COMPOSITION}, and members that are not numbered from 1")
    return tuple(read_artifact(folder / member) for member in expected)


def documents_of(folder: Path) -> list[str]:
    """The paths of the model card and of the kept evaluation in an artifact's folder; only those that are there.

    Nothing verifies their content, so they may not come from elsewhere. Raises ArtifactError for a link out of the
    folder.
    """
    found = [name for name in (CARD, EVALUATION) if (folder / name).is_file()]
    for name in found:
        if not (folder / name).resolve().is_relative_to(folder.resolve()):
            raise ArtifactError(
                f"{name} in {folder} is a link to a file outside of it; replace it by the file, or delete it"
            )
    return found


def engine_bytes(artifact: Artifact, engine: str) -> int:
    """The size in bytes of the files or folders that an engine loads."""
    if artifact.members:
        return sum(engine_bytes(member, engine) for member in artifact.members)
    path = artifact.folder / ENGINES[engine].path
    return sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file())


def gpu_engines(artifact: Artifact) -> tuple[str, ...]:
    """The engines of an artifact that can score on a GPU."""
    return tuple(name for name in artifact.engines if ENGINES[name].uses_gpu)


def choose_engine(artifact: Artifact, engine: str = AUTO, device: str = AUTO) -> str:
    """The name of the engine to load: `engine`, or for `auto` the fastest one whose runtime is installed.

    Raises ArtifactError when the artifact has no such engine, when its runtime is not installed, or when it cannot use
    the `device`.
    """
    usable = gpu_engines(artifact) if device == GPU else artifact.engines
    if device == GPU and (engine not in (AUTO, *usable) or not usable):
        raise ArtifactError(
            f"DEVICE is gpu, and the engine {engine if engine != AUTO else ', '.join(artifact.engines)} of "
            f"{artifact.name} uses no GPU: import the model with --engines onnx or savedmodel, or leave out the GPU"
        )
    if engine == AUTO:
        for name in usable:
            if _installed(name):
                return name
        needed = " or ".join(ENGINES[name].requirement for name in usable)
        raise ArtifactError(f"no engine of {artifact.name} can run here: install {needed}")
    if engine not in artifact.engines:
        have = ", ".join((AUTO, *artifact.engines))
        raise ArtifactError(f"the engine is {engine!r}; {artifact.name} {artifact.version} has: {have}")
    if not _installed(engine):
        raise ArtifactError(f"the engine {engine} is not installed here: install {ENGINES[engine].requirement}")
    return engine


def load_engine(artifact: Artifact, engine: str = AUTO, threads: int = 1, device: str = AUTO) -> tuple[str, Engine]:
    """Load an engine (see `choose_engine`); returns its name and the engine. `threads`: CPU threads of one call.

    Raises ArtifactError when no engine can be chosen, when the `device` is `gpu` and the engine finds none, when the
    model's inputs or outputs do not match the signature, when the preprocessing recipe cannot be run, or when the
    scores of the golden images differ from the recorded ones.
    """
    from model.artifact.golden import check_golden
    from model.preprocessing.recipe import check_recipe

    if artifact.members:
        raise ArtifactError(
            f"{artifact.name} {artifact.version} combines {len(artifact.members)} models, which only a worker scores: "
            "start one, or name one of its members"
        )
    name = choose_engine(artifact, engine, device)
    path, signature = artifact.folder / ENGINES[name].path, artifact.signature
    try:
        check_recipe(signature)
    except ValueError as exc:
        raise ArtifactError(f"{artifact.folder}: signature.json: {exc}") from exc
    loaded = open_engine(name, path, signature, threads)
    if device == GPU and loaded.device == CPU:
        loaded.close()
        raise ArtifactError(f"DEVICE is gpu, and the engine {name} scores on the CPU: {_why(name)}")
    check_golden(artifact.folder, artifact.golden is not None, name, loaded)
    return name, loaded


def open_engine(name: str, path: Path, signature: Signature, threads: int = 1) -> Engine:
    """The engine `name` on the model at `path`. Raises ArtifactError when it is no model or not the signature's."""
    if name == "litert":
        from model.engines.litert import LiteRTEngine

        return LiteRTEngine(path, signature, threads)
    if name == "onnx":
        from model.engines.onnx import OnnxEngine

        return OnnxEngine(path, signature, threads)
    from model.engines.savedmodel import SavedModelEngine

    return SavedModelEngine(path, signature, threads)


def _why(name: str) -> str:
    """Why an engine that can use a GPU uses none."""
    if name == "onnx":
        from model.engines.onnx import offers_gpu

        if not offers_gpu():
            return "the package onnxruntime uses no GPU: install onnxruntime-gpu instead"
    return why_unused()


def _installed(name: str) -> bool:
    return importlib.util.find_spec(ENGINES[name].module) is not None
