"""The doctor with models of a registry: each fault of aliases, versions and shares is found, with its command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from client.__main__ import main
from infra.local.twin import Twin
from model.artifact import load
from model.artifact.composition import MEAN, Composition, write_combined
from model.registry.aliases import Alias
from model.registry.registry import Registry
from tests.registry_models import NAME, altered, push, set_alias
from tests.service.doctor_harness import PROJECT, DoctorHarness

Findings = list[dict[str, str]]


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with two versions, a third one that scores its golden images differently, and stable at 1."""
    folder = tmp_path_factory.mktemp("registry")
    registry = Registry.at(str(folder / "models"))
    set_alias(registry, push(registry, folder, "1", "2")[0])
    registry.push(altered(folder / "altered", "3"))
    return folder / "models"


@pytest.fixture(scope="module")
def twin(pushed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twin]:
    log = tmp_path_factory.mktemp("twin") / "worker.log"
    settings = {"ALIASES_MAX_AGE_S": "3600"}
    with Twin(
        worker="push", project=PROJECT, log_path=log, registry=str(pushed), models=NAME, worker_env=settings
    ) as running:
        yield running


@pytest.fixture
def registry(pushed: Path, tmp_path: Path) -> Registry:
    """A copy that a test may change. The worker of the twin serves the original."""
    shutil.copytree(pushed, tmp_path / "models")
    return Registry.at(str(tmp_path / "models"))


def visit(harness: DoctorHarness, registry: Registry, models: str = NAME) -> tuple[int, Findings]:
    return harness.visit("--registry", registry.address, "--models", models, "--url", "")


def edit(registry: Registry, alias: str, change: Callable[[Alias], Alias]) -> None:
    registry.edit_aliases(NAME, (alias,), lambda aliases: aliases | {alias: change(aliases[alias])})


def test_what_the_worker_serves_is_checked(harness: DoctorHarness) -> None:
    assert main(["doctor", "--json"], os.environ) == 0, "the twin's variables name the registry"
    found = [json.loads(line) for line in harness.capsys.readouterr().out.splitlines()]
    assert {each["subject"]: each["message"] for each in found if each["subject"].startswith("model")} == {
        f"model {NAME}@stable": "1 is complete, scores its golden images as recorded (litert); served, 100 %",
        f"model {NAME} served": "the worker has the versions that the aliases name",
    }
    assert not any(each["subject"] == "artifact" for each in found)


def test_the_shares_are_shown(harness: DoctorHarness, registry: Registry) -> None:
    set_alias(registry, registry.version(NAME, "2").target, "candidate", percent=5.0)
    set_alias(registry, registry.version(NAME, "2").target, "next", shadow=True)
    set_alias(registry, registry.version(NAME, "3").target, "archived")
    words = ["doctor", "--json", "--registry", registry.address, "--models", NAME, "--url", ""]
    assert main(words, os.environ) == 0
    found = [json.loads(line) for line in harness.capsys.readouterr().out.splitlines()]
    shown = {each["subject"].partition("@")[2]: each["message"] for each in found if "@" in each["subject"]}
    assert {alias: message.partition("; ")[2] for alias, message in shown.items()} == {
        "stable": "served, 95 %",
        "candidate": "5 %",
        "next": "shadow",
    }


def test_a_missing_alias(harness: DoctorHarness, registry: Registry) -> None:
    code, [found] = visit(harness, registry, f"{NAME}@live")
    assert code == 1 and "has no alias live; it has stable" in found["message"]
    assert found["fix"] == f"predictions model alias set {NAME} live 3 --registry {registry.address}"
    code, [found] = visit(harness, registry, "shoes")
    assert code == 1 and found["fix"] == (
        f"predictions model push FOLDER --registry {registry.address} && "
        f"predictions model alias set shoes stable VERSION --registry {registry.address}"
    )


def test_a_version_whose_golden_images_score_differently(harness: DoctorHarness, registry: Registry) -> None:
    set_alias(registry, registry.version(NAME, "3").target)
    code, [found] = visit(harness, registry)
    assert (code, found["level"], found["subject"]) == (1, "fail", f"model {NAME}@stable")
    assert "scores the golden image 0 differently from when the artifact was made" in found["message"]
    assert found["fix"] == f"predictions model rollback {NAME} --registry {registry.address}"


def test_a_canary_that_is_not_complete(harness: DoctorHarness, registry: Registry) -> None:
    set_alias(registry, registry.version(NAME, "2").target, "candidate", percent=0.0)
    (Path(registry.address) / NAME / "2" / "labels.txt").unlink()
    code, [found] = visit(harness, registry)
    assert (code, found["level"], found["subject"]) == (1, "fail", f"model {NAME}@candidate")
    assert "is not complete: labels.txt is missing" in found["message"]
    assert found["fix"] == f"predictions model list {NAME} --registry {registry.address}", "it has no earlier version"


def test_an_alias_with_another_digest(harness: DoctorHarness, registry: Registry) -> None:
    edit(registry, "stable", lambda alias: replace(alias, target=replace(alias.target, digest="sha256:0")))
    code, [found] = visit(harness, registry)
    assert code == 1 and "and the alias names another one" in found["message"]


def test_percentages_that_cannot_be_honoured(harness: DoctorHarness, registry: Registry) -> None:
    for alias in ("one", "two"):
        set_alias(registry, registry.version(NAME, "2").target, alias, percent=50.0)
    file = Path(registry.address) / NAME / "aliases.json"
    file.write_text(file.read_text().replace("50.0", "60.0"))
    code, [found] = visit(harness, registry)
    assert code == 1 and "which sum to 120; at most 100 are allowed" in found["message"]


def test_a_percentage_of_the_served_alias_has_no_effect(harness: DoctorHarness, registry: Registry) -> None:
    edit(registry, "stable", lambda alias: replace(alias, percent=10.0))
    code, [found] = visit(harness, registry)
    assert (code, found["level"]) == (0, "warn") and found["message"].startswith("stable is served, so that")


def test_a_shadow_without_its_topic(harness: DoctorHarness, registry: Registry) -> None:
    set_alias(registry, registry.version(NAME, "2").target, "next", shadow=True)
    harness.gcloud.publisher.delete_topic(topic=harness.gcloud.topic("compare_predict"))
    try:
        _, findings = visit(harness, registry)
    finally:
        harness.gcloud.publisher.create_topic(name=harness.gcloud.topic("compare_predict"))
        harness.remake("compare_predict-sub", "compare_predict", message_retention_duration={"seconds": 604800},
                       ack_deadline_seconds=60, expiration_policy={})  # fmt: skip
    [found] = [each for each in findings if each["subject"] == f"model {NAME}"]
    assert found["level"] == "fail" and found["message"] == (
        "next is a shadow, and its topic compare_predict does not exist"
    )
    assert found["fix"] == "gcloud pubsub topics create compare_predict --project=local"


def test_a_worker_that_has_another_version(harness: DoctorHarness, registry: Registry) -> None:
    set_alias(registry, registry.version(NAME, "2").target)
    code, [found] = harness.visit("--registry", registry.address)
    assert (code, found["level"], found["subject"]) == (0, "warn", f"model {NAME} served")
    assert found["message"] == ("stable is 2, and the worker has 1: it follows a changed alias within half a minute")


@pytest.mark.parametrize("member", ["1", "3"])
def test_the_members_of_a_combined_model_are_checked(
    member: str, harness: DoctorHarness, registry: Registry, tmp_path: Path
) -> None:
    folders = [Path(registry.address_of(NAME, member))] * 2
    write_combined(tmp_path / "combined", NAME, "4", Composition(MEAN), folders)
    set_alias(registry, registry.push(tmp_path / "combined").target, "candidate", percent=5.0)
    words = ["doctor", "--json", "--registry", registry.address, "--models", NAME, "--url", ""]
    code = main(words, os.environ)
    listed = [json.loads(line) for line in harness.capsys.readouterr().out.splitlines()]
    [found] = [each["message"] for each in listed if each["subject"] == f"model {NAME}@candidate"]
    if member == "1":
        assert (code, found) == (
            0,
            "4 is complete, its 2 members score their golden images as recorded (litert); 5 %",
        )
    else:
        assert code == 1 and "scores the golden image 0 differently" in found


def test_no_line_of_an_engine_is_between_the_findings(harness: DoctorHarness) -> None:
    command = [sys.executable, "-m", "client", "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "golden images as recorded" in done.stdout and "0 fail" in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr


def test_without_an_engine_the_golden_images_are_not_checked(
    harness: DoctorHarness, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "_installed", lambda name: False)
    code, [found] = visit(harness, registry)
    assert (code, found["level"]) == (0, "warn")
    assert found["message"] == ("1 is complete, served, 100 %; golden images not checked: no engine of it is here")
    assert found["fix"] == "pip install ai-edge-litert"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--models", ""], "--registry is given and --models is not; give both"),
        (["--models", "a,b,a@c"], "--models names a twice; name each model once"),
        (["--models", "a@1"], "--models has a@1, a version; a worker serves aliases"),
        (["--models", "A"], "--models: the model is 'A'; it must be 1 to 63 of a-z"),
        (["--registry", "gs://bucket"], "--registry is 'gs://bucket'; it must be a folder or look like"),
        (["--registry", "http://a/b"], "--registry is 'http://a/b'; it must be a folder or look like"),
        (["--artifact", "a"], "--artifact and --registry are both given; a worker serves one of them"),
    ],
)
def test_options_that_cannot_be_honoured(harness: DoctorHarness, words: list[str], said: str) -> None:
    assert main(["doctor", *words], os.environ) == 2
    assert said in " ".join(harness.capsys.readouterr().err.split())
