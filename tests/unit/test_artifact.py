"""Artifacts: invalid ones are refused with the reason, and the engine is selected by measured speed."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.artifact.load import Artifact, choose_engine, load_engine, read_artifact
from model.artifact.manifest import MANIFEST, describe_file, digest_of, parse_manifest
from model.errors import ArtifactError

SHIPPED = Path(__file__).resolve().parents[2] / "model" / "artifacts" / "fashion-mnist"
LISTED = sorted(json.loads((SHIPPED / MANIFEST).read_text())["files"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped artifact, to damage."""
    return Path(shutil.copytree(SHIPPED, tmp_path / "artifact"))


def manifest_of(folder: Path) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
    return body


def sign(folder: Path, **changes: Any) -> None:
    """Make the manifest agree with the files again, as if the artifact had been exported so."""
    body = manifest_of(folder)
    files = {path: describe_file(folder / path) for path in body["files"]}
    body["files"] = {path: {"sha256": file.sha256, "size": file.size} for path, file in files.items()}
    body["digest"] = digest_of(files)
    (folder / MANIFEST).write_text(json.dumps(body | changes))


def change_signature(folder: Path, **changes: Any) -> None:
    path = folder / "signature.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    sign(folder)


def test_the_shipped_artifact_is_read() -> None:
    artifact = read_artifact(SHIPPED)
    assert (artifact.name, artifact.folder) == ("fashion-mnist", SHIPPED)
    assert (artifact.signature.height, artifact.signature.width, artifact.signature.channels) == (28, 28, 1)
    assert artifact.signature.labels[0] == "T-shirt/top"
    assert len(artifact.signature.labels) == 10
    assert set(artifact.engines) == {"litert", "savedmodel"}


@pytest.mark.parametrize("path", [*LISTED, MANIFEST])
def test_a_missing_file_is_named(folder: Path, path: str) -> None:
    (folder / path).unlink()
    with pytest.raises(ArtifactError, match=f"^{path} is missing from "):
        read_artifact(folder)


@pytest.mark.parametrize("path", LISTED)
def test_a_truncated_file_is_named_with_its_size(folder: Path, path: str) -> None:
    whole = (folder / path).read_bytes()
    (folder / path).write_bytes(whole[:-1])
    with pytest.raises(ArtifactError, match=rf"^{path} in .* is truncated: {len(whole) - 1} of {len(whole)} bytes"):
        read_artifact(folder)


@pytest.mark.parametrize("path", LISTED)
@pytest.mark.parametrize("alter", [lambda data: bytes([data[0] ^ 1]) + data[1:], lambda data: data + b"\n"])
def test_an_altered_file_is_named(folder: Path, path: str, alter: Callable[[bytes], bytes]) -> None:
    (folder / path).write_bytes(alter((folder / path).read_bytes()))
    with pytest.raises(ArtifactError, match=f"^{path} in .* is altered"):
        read_artifact(folder)


def test_a_truncated_manifest_is_refused(folder: Path) -> None:
    whole = (folder / MANIFEST).read_bytes()
    (folder / MANIFEST).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ArtifactError, match=r"manifest\.json is not JSON"):
        read_artifact(folder)


def test_a_file_and_its_manifest_altered_together_do_not_make_the_digest(folder: Path) -> None:
    body = manifest_of(folder)
    (folder / "labels.txt").write_text("\n".join("abcdefghij"))
    described = describe_file(folder / "labels.txt")
    body["files"]["labels.txt"] = {"sha256": described.sha256, "size": described.size}
    (folder / MANIFEST).write_text(json.dumps(body))
    with pytest.raises(ArtifactError, match=r"manifest\.json is altered: its digest is"):
        read_artifact(folder)


def test_files_without_effect_on_scores_may_change(folder: Path) -> None:
    (folder / "MODEL_CARD.md").write_text("Translated.")
    shutil.rmtree(folder / "training")
    assert read_artifact(folder).digest == read_artifact(SHIPPED).digest


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schema_version": 2}, "schema_version 1"),
        ({"name": ""}, "name is ''"),
        ({"version": 3}, "version is 3"),
        ({"files": {}}, "files must map"),
        ({"files": {"labels.txt": {"sha256": "f" * 63, "size": 1}}}, "labels.txt needs a sha256"),
        ({"files": {"labels.txt": {"sha256": "f" * 64, "size": -1}}}, "labels.txt needs a sha256"),
        ({"files": {"labels.txt": None}}, "labels.txt needs a sha256"),
        ({"engines": []}, "engines must be a list"),
        ({"engines": ["litert"]}, "engines must be a list"),
        ({"engines": [{"name": "abacus"}]}, "the engine 'abacus'; known are litert, savedmodel"),
    ],
)
def test_a_malformed_manifest_is_refused(folder: Path, changes: dict[str, Any], said: str) -> None:
    (folder / MANIFEST).write_text(json.dumps(manifest_of(folder) | changes))
    with pytest.raises(ArtifactError) as refusal:
        read_artifact(folder)
    assert said in str(refusal.value)


@pytest.mark.parametrize(
    "path", ["../up", "/etc/passwd", "a/../../b", "./a", "a//b", "a\\b", "C:/a", "", ".", "saved_model/"]
)
def test_paths_outside_the_artifact_are_refused(path: str) -> None:
    body = {"schema_version": 1, "files": {path: {"sha256": "f" * 64, "size": 1}}}
    with pytest.raises(ArtifactError, match="only relative paths inside the artifact"):
        parse_manifest(json.dumps(body).encode())


@pytest.mark.parametrize("path", ["labels.txt", "signature.json", "model.tflite"])
def test_a_file_that_the_manifest_leaves_out_is_refused(folder: Path, path: str) -> None:
    body = manifest_of(folder)
    del body["files"][path]
    (folder / MANIFEST).write_text(json.dumps(body))
    sign(folder)
    with pytest.raises(ArtifactError, match=f"(does not list|but not its) {path}"):
        read_artifact(folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"height": 0}, "height is 0"),
        ({"width": "28"}, "width is '28'"),
        ({"channels": True}, "channels is True"),
        ({"dtype": "float64"}, "dtype is 'float64'"),
        ({"preprocessing": []}, "preprocessing is []; it must be an object"),
    ],
)
def test_a_wrong_signature_is_refused(folder: Path, changes: dict[str, Any], said: str) -> None:
    change_signature(folder, **changes)
    with pytest.raises(ArtifactError) as refusal:
        read_artifact(folder)
    assert said in str(refusal.value)


def test_labels_are_read_strictly(folder: Path) -> None:
    (folder / "labels.txt").write_text("Coat\nCoat\n")
    sign(folder)
    with pytest.raises(ArtifactError, match="names 'Coat' more than once"):
        read_artifact(folder)


def test_a_model_that_differs_from_its_signature_is_refused_at_load(folder: Path) -> None:
    steps = [
        {"op": "grayscale"},
        {"op": "resize", "width": 28, "height": 32},
        {"op": "scale", "factor": 1, "offset": 0},
    ]
    change_signature(folder, height=32, preprocessing={"steps": steps})
    with pytest.raises(ArtifactError, match=r"takes float32 \[28, 28, 1\] per image; .* float32 \[32, 28, 1\]"):
        load_engine(read_artifact(folder), "litert")


def test_labels_that_do_not_match_the_model_are_refused_at_load(folder: Path) -> None:
    (folder / "labels.txt").write_text("Coat\nDress\n")
    sign(folder)
    with pytest.raises(ArtifactError, match=r"gives float32 \[10\] per image; .* float32 \[2\]"):
        load_engine(read_artifact(folder), "litert")


def test_an_invalid_recipe_is_refused(folder: Path) -> None:
    change_signature(folder, preprocessing={"steps": [{"op": "polish"}, {"op": "scale", "factor": 1, "offset": 0}]})
    with pytest.raises(ArtifactError, match=r"preprocessing\.steps\[0\] is .*polish.*; its op must be one of"):
        load_engine(read_artifact(folder), "litert")


def test_a_file_that_is_no_model_is_refused_at_load(folder: Path) -> None:
    (folder / "model.tflite").write_bytes(b"not a flatbuffer" * 10)
    sign(folder)
    with pytest.raises(ArtifactError, match=r"model\.tflite is not a model that LiteRT can load"):
        load_engine(read_artifact(folder), "litert")


def install(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """Pretend that only these engines are installed."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: object() if module in modules else None)


def ordered(*engines: str) -> Artifact:
    shipped = read_artifact(SHIPPED)
    return Artifact(shipped.name, shipped.version, shipped.digest, shipped.signature, shipped.folder, engines)


@pytest.mark.parametrize(
    ("engines", "installed", "chosen"),
    [
        (("litert", "savedmodel"), ("ai_edge_litert", "tensorflow"), "litert"),
        (("savedmodel", "litert"), ("ai_edge_litert", "tensorflow"), "savedmodel"),
        (("savedmodel", "litert"), ("ai_edge_litert",), "litert"),
        (("litert", "savedmodel"), ("tensorflow",), "savedmodel"),
    ],
)
def test_auto_selects_the_fastest_installed_engine(
    monkeypatch: pytest.MonkeyPatch, engines: tuple[str, ...], installed: tuple[str, ...], chosen: str
) -> None:
    install(monkeypatch, *installed)
    assert choose_engine(ordered(*engines)) == chosen


def test_auto_without_an_installed_engine_names_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    with pytest.raises(ArtifactError, match="install ai-edge-litert or tensorflow"):
        choose_engine(ordered("litert", "savedmodel"))


def test_a_selected_engine_must_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "ai_edge_litert")
    with pytest.raises(ArtifactError, match="savedmodel is not installed here: install tensorflow"):
        choose_engine(ordered("litert", "savedmodel"), "savedmodel")


@pytest.mark.parametrize("engine", ["savedmodel", "onnx", ""])
def test_a_selected_engine_must_be_in_the_artifact(engine: str) -> None:
    with pytest.raises(ArtifactError, match=f"the engine is '{engine}'; fashion-mnist .* has: auto, litert"):
        choose_engine(ordered("litert"), engine)


def test_the_loaded_engine_is_named_and_scores() -> None:
    name, engine = load_engine(ordered("litert"))
    scores = engine.score(np.zeros((1, 28, 28, 1), np.float32))
    engine.close()
    assert name == "litert"
    assert scores.shape == (1, 10)
    assert scores.sum() == pytest.approx(1, abs=1e-5)
