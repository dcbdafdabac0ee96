"""`make deploy` with models of a registry, which is in a real bucket of the twin; the tools are stand-ins."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.cloud import storage

from infra.deploy.__main__ import main
from infra.local.storage.server import StorageServer
from model.artifact import SHIPPED
from model.registry.registry import Registry
from tests.registry_models import NAME, push, seal, set_alias, variant
from tests.tools import BASE, DEPLOYED, Tools

ADDRESS = "gs://some-project-models/registry"


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """The empty registry of some-project."""
    with StorageServer(names=["some-project-models"]) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "some-project")
        yield Registry.at(ADDRESS)


def tfvars(folder: Path, text: str) -> str:
    (folder / "models.tfvars").write_text(text)
    return str(folder / "models.tfvars")


def run(tools: Tools, command: str, **given: str) -> int:
    return main([command], {"PROJECT": "some-project"} | given, tools.root)


def test_the_first_deploy_pushes_the_shipped_model(
    tools: Tools, registry: Registry, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tfvars(tmp_path, 'models = [\n  "fashion-mnist", # "shoes" comes later\n]\n')
    tools.output(deployed=DEPLOYED | {"models": [NAME]}, registry=ADDRESS)
    assert run(tools, "deploy", TFVARS=file) == 0
    stable = registry.aliases(NAME)["stable"]
    version = registry.version(NAME, stable.target.version)
    assert stable.target == version.target and version.manifest.engines == ("litert", "savedmodel")
    out = capfd.readouterr().out
    assert f"# pushed the shipped model, {NAME} {stable.target.version}, as stable to {ADDRESS}\n" in out
    assert f"export REGISTRY={ADDRESS}\nexport MODELS={NAME}\n" in out
    assert f"{NAME}@stable" in out.split(f"# the models in {ADDRESS}:\n")[1] and "served, 100 %" in out
    assert not any("rsync" in call for call in tools.calls)
    assert not any(word.startswith("-var=artifact_prefix") for call in tools.calls for word in call)

    assert run(tools, "deploy", TFVARS=file) == 0, "the second deploy leaves the alias alone"
    assert registry.aliases(NAME)["stable"] == stable and "pushed" not in capfd.readouterr().out


def test_a_missing_alias_stops_the_deploy_before_the_worker(
    tools: Tools, registry: Registry, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    push(registry, tmp_path, "1", "2")
    file = tfvars(tmp_path, 'models = ["fashion-mnist", "shoes@live"]\n')
    assert run(tools, "deploy", TFVARS=file) == 1
    assert tools.ran()[-1] == "terraform output", "neither built nor applied"
    assert sum("apply" in call for call in tools.calls) == 1, "the buckets alone"
    said = capfd.readouterr().err
    assert said == (
        f"deploy stopped: {ADDRESS} has no alias stable of fashion-mnist, which the worker is to serve. Run:\n"
        f"  predictions model alias set fashion-mnist stable 2 --registry {ADDRESS}\n"
        f"{ADDRESS} has no alias live of shoes, which the worker is to serve. Run:\n"
        f"  predictions model push FOLDER --registry {ADDRESS}\n"
        f"  predictions model alias set shoes live VERSION --registry {ADDRESS}\n"
        "Completed steps are kept. When the problem is fixed, run: "
        f"make deploy PROJECT=some-project TFVARS={file}\n"
    )


def test_a_push_that_was_interrupted_is_completed(tools: Tools, registry: Registry, tmp_path: Path) -> None:
    version = registry.push(SHIPPED).target.version
    assert run(tools, "deploy", TFVARS=tfvars(tmp_path, 'models = ["fashion-mnist"]\n')) == 0
    assert registry.aliases(NAME)["stable"].target.version == version


def test_the_image_has_an_engine_for_every_model(
    tools: Tools, registry: Registry, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    set_alias(registry, push(registry, tmp_path, "1")[0])
    folder = variant(tmp_path / "onnx", "1", "shoes")
    (folder / "model.tflite").rename(folder / "model.onnx")
    body = json.loads((folder / "manifest.json").read_text())
    body["files"]["model.onnx"] = body["files"].pop("model.tflite")
    body["engines"] = [{"name": "onnx"}]
    (folder / "manifest.json").write_text(json.dumps(body))
    set_alias(registry, registry.push(seal(folder, "1", "shoes")).target, name="shoes")
    file = tfvars(tmp_path, 'models = ["fashion-mnist", "shoes"]\n')
    tools.images()
    assert run(tools, "deploy", TFVARS=file) == 1, "the stand-in builds nothing"
    [built] = [word for call in tools.calls for word in call if "_LOCK=" in word]
    assert built.endswith(f"_BASE={BASE},_LOCK=requirements-onnx.lock")
    capfd.readouterr()
    assert run(tools, "deploy", TFVARS=file, COMPUTE="function") == 2
    said = capfd.readouterr().err
    assert "deploy: models has shoes, which has the engine onnx; the worker can hold litert" in said


def test_an_alias_of_a_version_that_is_not_there_stops_the_deploy(
    tools: Tools, registry: Registry, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    set_alias(registry, push(registry, tmp_path, "1")[0])
    with_hole = next(each for each in registry.version(NAME, "1").manifest.files if each.endswith(".tflite"))
    storage.Client().bucket("some-project-models").blob(f"registry/{NAME}/1/{with_hole}").delete()
    assert run(tools, "deploy", TFVARS=tfvars(tmp_path, 'models = ["fashion-mnist"]\n')) == 1
    assert f"{NAME} 1 in {ADDRESS} is not complete: {with_hole} is missing" in capfd.readouterr().err


def test_the_state_of_the_aliases_is_printed(
    tools: Tools, registry: Registry, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    one, two, three = push(registry, tmp_path, "1", "2", "3")
    set_alias(registry, one)
    set_alias(registry, two, "candidate", percent=5.0)
    set_alias(registry, three, "next", shadow=True)
    set_alias(registry, three, "archived")
    tools.output(deployed=DEPLOYED | {"models": [NAME]})
    assert run(tools, "models") == 0
    lines = capfd.readouterr().out.split(f"# the models in {ADDRESS}:\n")[1].splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        f"{NAME}@{alias}" for alias in ("stable", "archived", "candidate", "next")
    ]
    assert [line.rsplit("  ", 1)[1] for line in lines] == ["served, 95 %", "-", "5 %", "shadow"]
    assert all(len(line) <= 80 for line in lines)
    assert tools.ran() == ["terraform init", "terraform output"]


def test_a_deployment_without_models_has_no_aliases(tools: Tools, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(tools, "models") == 1
    assert "some-project serves no models of a registry: set models in TFVARS" in capfd.readouterr().err


def test_an_artifact_next_to_models_is_refused(tools: Tools, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tfvars(tmp_path, 'models = ["fashion-mnist"]\n')
    assert run(tools, "deploy", TFVARS=file, ARTIFACT=str(SHIPPED)) == 2
    assert tools.calls == []
    assert f"push the folder instead, with `predictions model push FOLDER --registry {ADDRESS}`" in (
        capfd.readouterr().err
    )


def test_a_rollback_of_the_image_keeps_the_models(
    tools: Tools, registry: Registry, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tools.images("old", "new")
    tools.output(deployed=DEPLOYED | {"models": [NAME]})
    assert run(tools, "rollback", IMAGE="old") == 2
    assert "models is empty, but some-project is deployed with models=fashion-mnist" in capfd.readouterr().err
    assert not any("apply" in call for call in tools.calls)
    assert run(tools, "rollback", IMAGE="old", TFVARS=tfvars(tmp_path, 'models = ["fashion-mnist"]\n')) == 0


def test_a_bucket_that_does_not_exist_is_named(
    tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with StorageServer(names=["another"]) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "some-project")
        assert run(tools, "deploy", TFVARS=tfvars(tmp_path, 'models = ["shoes"]\n')) == 1
    said = capfd.readouterr().err
    assert said.startswith("deploy stopped: the registry's bucket some-project-models does not exist")
