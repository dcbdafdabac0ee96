"""The image that an artifact and a GPU need, by the engines of the artifact. The tools are stand-ins."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from infra.deploy.__main__ import main
from infra.deploy.images import GPU_LOCKS, LOCKS, installed_packages, source_tag
from model.artifact.manifest import File, digest_of
from tests.tools import BASE, Tools


def run(tools: Tools, *words: str, **given: str) -> int:
    return main(words or ["deploy"], {"PROJECT": "some-project"} | given, tools.root)


@pytest.mark.parametrize("command", [["deploy"], ["rollback"]])
def test_an_artifact_without_an_engine_of_the_image_is_refused(
    command: list[str], tools: Tools, root: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(root / "model" / "artifacts" / "fashion-mnist", tmp_path / "made")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert len(manifest["engines"]) == 2
    manifest["engines"] = [each for each in manifest["engines"] if each["name"] == "savedmodel"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert run(tools, *command, ARTIFACT=str(folder)) == 2
    assert tools.calls == []
    said = capfd.readouterr().err
    assert "which has the engine savedmodel; the worker can hold litert or onnx (functions/requirements*.txt)" in said
    assert "export or import the model with --engines litert" in said


def onnx_artifact(root: Path, folder: Path) -> Path:
    """The shipped artifact with another engine, whose file nothing loads here."""
    shutil.copytree(root / "model" / "artifacts" / "fashion-mnist", folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "model.tflite").rename(folder / "model.onnx")
    manifest["files"] = {path: file for path, file in manifest["files"].items() if "saved_model" not in path}
    manifest["files"]["model.onnx"] = manifest["files"].pop("model.tflite")
    files = {path: File(**file) for path, file in manifest["files"].items()}
    manifest |= {"engines": [{"name": "onnx"}], "digest": digest_of(files)}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_the_image_of_an_onnx_artifact_has_onnx_runtime(tools: Tools, root: Path, tmp_path: Path) -> None:
    tag = source_tag(tools.root, BASE, LOCKS[1])
    assert tag != tools.tag, "the images of the two lock files differ"
    tools.images("source-old", tag)
    tools.images("source-old", once=True)
    assert run(tools, ARTIFACT=str(onnx_artifact(root, tmp_path / "made"))) == 0
    [built] = [call for call in tools.calls if "submit" in call]
    [substitutions] = [word for word in built if word.startswith("--substitutions=")]
    assert substitutions.endswith(f":{tag},_BASE={BASE},_LOCK=requirements-onnx.lock")


def locks(tools: Tools) -> list[str]:
    """The lock files of the images that were built."""
    return [word.rpartition("_LOCK=")[2] for call in tools.calls for word in call if "_LOCK=" in word]


@pytest.fixture
def with_gpu(tmp_path: Path) -> str:
    """A file of variables with a GPU."""
    (tmp_path / "gpu.tfvars").write_text('gpu = "nvidia-l4"\ncpu = 4\nmemory = "16Gi"\n')
    return str(tmp_path / "gpu.tfvars")


@pytest.mark.parametrize("lock", GPU_LOCKS)
def test_a_gpu_gets_an_image_with_an_engine_that_uses_it(
    lock: str, tools: Tools, root: Path, tmp_path: Path, with_gpu: str
) -> None:
    folder = root / "model" / "artifacts" / "fashion-mnist"  # LiteRT is its first engine, and uses no GPU
    if lock == GPU_LOCKS[0]:
        folder = onnx_artifact(root, tmp_path / "made")
    tag = source_tag(tools.root, BASE, lock)
    tools.images("source-old", tag)
    tools.images("source-old", once=True)
    assert run(tools, ARTIFACT=str(folder), TFVARS=with_gpu) == 0
    assert locks(tools) == [lock]


@pytest.mark.parametrize("command", ["deploy", "plan"])
def test_a_gpu_that_no_engine_of_the_artifact_uses_is_refused(
    command: str, tools: Tools, root: Path, tmp_path: Path, with_gpu: str, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(root / "model" / "artifacts" / "fashion-mnist", tmp_path / "made")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["engines"] = [each for each in manifest["engines"] if each["name"] == "litert"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert run(tools, command, ARTIFACT=str(folder), TFVARS=with_gpu) == 2
    said = capfd.readouterr().err
    assert "gpu is 'nvidia-l4', and ARTIFACT is" in said and "whose engine litert uses no GPU" in said
    assert "--engines onnx or savedmodel" in said
    assert run(tools, command, TFVARS=with_gpu) == 2
    assert "gpu is 'nvidia-l4' and ARTIFACT is missing" in capfd.readouterr().err
    assert tools.calls == []


def test_the_images_for_a_gpu_have_cuda(root: Path) -> None:
    for lock, engine in zip(GPU_LOCKS, ("onnxruntime", "tensorflow"), strict=True):
        packages = installed_packages(root, lock)
        assert engine in packages
        assert any(name.startswith("nvidia-cudnn-cu") for name in packages)


def test_a_function_has_no_onnx_runtime(
    tools: Tools, root: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(tools, ARTIFACT=str(onnx_artifact(root, tmp_path / "made")), COMPUTE="function") == 2
    assert tools.calls == []
    assert "which has the engine onnx; the worker can hold litert (" in capfd.readouterr().err


def test_the_packages_of_the_image_are_those_of_its_lock_file(root: Path) -> None:
    assert {"ai-edge-litert", "pyjwt", "google-cloud-storage"} <= installed_packages(root)
    assert "tensorflow" not in installed_packages(root)
