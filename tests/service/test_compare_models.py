"""Comparison of two models end to end: a shadow, a canary and a replay on the twin, verdict, promotion."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from client.__main__ import main
from infra.local.twin import Twin
from model.__main__ import main as model_main
from model.registry.aliases import CANDIDATE, STABLE, Target
from model.registry.registry import Registry
from tests.compared_models import dimmed, labelled
from tests.registry_models import NAME, set_alias
from tests.service.cli_harness import PROJECT, CommandLine, command_line

IMAGES = 300
STABLE_VERSION, GOOD, BAD = "1.0.0", "1.1.0", "1.2.0"


@dataclass(frozen=True)
class Models:
    """A registry with a stable version, one that is as good, and one that is worse."""

    registry: Registry
    targets: dict[str, Target]

    def aliases(self, candidate: str, **options: object) -> None:
        """Let stable name its version, and candidate this one."""
        set_alias(self.registry, self.targets[STABLE_VERSION], STABLE)
        set_alias(self.registry, self.targets[candidate], CANDIDATE, **options)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    folder = tmp_path_factory.mktemp("models")
    registry = Registry.at(str(folder / "registry"))
    versions = {STABLE_VERSION: 1.0, GOOD: 0.97, BAD: 0.1}
    targets = {
        version: registry.push(dimmed(folder / version, version, share)).target for version, share in versions.items()
    }
    made = Models(registry, targets)
    made.aliases(GOOD, shadow=True)
    return made


@pytest.fixture(scope="module")
def twin(models: Models) -> Iterator[Twin]:
    settings = {
        "REGISTRY": models.registry.address,
        "MODELS": NAME,
        "COMPARISON_TOPIC": "compare_predict",
        "ALIASES_MAX_AGE_S": "1",
    }
    with Twin(worker="push", project=PROJECT, worker_env=settings) as running:
        yield running


@pytest.fixture
def cli(twin: Twin, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[CommandLine]:
    with command_line(twin, monkeypatch, capsys) as cli:
        yield cli


@pytest.fixture(scope="module")
def photos(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with labelled images."""
    return labelled(shared_data / "fashion-mnist", tmp_path_factory.mktemp("photos") / "images", IMAGES).parent


def show(*a):
    with open("/tmp/reg-compare.out", "a") as f:
        print(*a, file=f)


def test_x(cli, models, photos, tmp_path):
    import time

    cli.topic("compare_predict")
    cli.subscription("compare_predict-sub", "compare_predict", ack_deadline_seconds=60)
    show(cli.run("publish", str(photos / "00000.png")))
    time.sleep(3)
    show(cli.run("publish", str(photos), "--include", "*.png", "--output", str(tmp_path / "a.csv"))[2])
    t = time.time()
    out = cli.run(
        "compare",
        "--shadow",
        "--output",
        str(tmp_path / "c.jsonl"),
        "--until-idle",
        "3",
        "--registry",
        models.registry.address,
        "--save",
    )
    show(out[0], out[1], out[2], time.time() - t)
    out = cli.run("compare", "--shadow", str(tmp_path / "c.jsonl"), "--labels", str(photos / "labels.csv"))
    show(*out)
    models.aliases(BAD, percent=50.0)
    time.sleep(1.5)
    show(cli.run("publish", str(photos / "00000.png"))[1])
    time.sleep(3)
    show(cli.run("publish", str(photos), "--include", "*.png", "--output", str(tmp_path / "b.csv"))[2])
    show(*cli.run("compare", "--canary", NAME, str(tmp_path / "b.csv"), "--registry", models.registry.address))
    show(*cli.run("compare", str(tmp_path / "a.csv"), str(tmp_path / "b.csv"), "--verdict"))
    cli.subscriber.delete_subscription(subscription=f"projects/{PROJECT}/subscriptions/compare_predict-sub")
    assert 0
