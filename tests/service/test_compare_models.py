"""Comparison of two models end to end: a shadow, a canary and a replay on the twin, verdict, promotion."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from client.verdicts.comparison_subscription import drain
from functions.messages.comparison import Comparison, encode_comparison
from infra.local.twin import Twin
from model.__main__ import main as model_main
from model.registry.aliases import CANDIDATE, STABLE, Target
from model.registry.registry import Registry
from tests.compared_models import dimmed, labelled
from tests.registry_models import NAME, set_alias
from tests.service.cli_harness import PROJECT, CommandLine
from tests.unit.test_compare_verdict import comparison
from tests.waiting import until

IMAGES = 240
TOPIC = "compare_predict"
STABLE_VERSION, GOOD, BAD = "1.0.0", "1.1.0", "1.2.0"


@dataclass(frozen=True)
class Models:
    """A registry with a stable version, one that is as good, and one that is worse."""

    registry: Registry
    targets: dict[str, Target]

    def aliases(self, candidate: str, **options: Any) -> None:
        """Let stable name its version, and candidate this one."""
        set_alias(self.registry, self.targets[STABLE_VERSION], STABLE)
        set_alias(self.registry, self.targets[candidate], CANDIDATE, **options)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    folder = tmp_path_factory.mktemp("models")
    registry = Registry.at(str(folder / "registry"))
    versions = {STABLE_VERSION: 1.0, GOOD: 0.97, BAD: 0.02}
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
        "COMPARISON_TOPIC": TOPIC,
        "ALIASES_MAX_AGE_S": "1",
    }
    with Twin(worker="push", project=PROJECT, worker_env=settings) as running:
        yield running


@pytest.fixture(scope="module")
def photos(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with labelled images."""
    return labelled(shared_data / "fashion-mnist", tmp_path_factory.mktemp("photos") / "images", IMAGES).parent


@pytest.fixture
def comparisons(cli: CommandLine) -> Iterator[str]:
    """The subscription of the comparison topic, which is empty before and after."""
    path = f"projects/{PROJECT}/subscriptions/{TOPIC}-sub"
    cli.purge(path)
    yield path
    cli.purge(path)


def serve(cli: CommandLine, models: Models, photos: Path, candidate: str, **options: Any) -> None:
    """Set the aliases, and send requests until the worker has the candidate in use as they say."""
    models.aliases(candidate, **options)
    expected = {"alias": f"{NAME}@{CANDIDATE}", "version": candidate} | options

    def in_use() -> bool:
        assert cli.run("predict", str(photos / "00000.png"))[0] == 0
        with urllib.request.urlopen(f"{os.environ['WORKER_URL']}/ready") as reply:
            listed: list[dict[str, Any]] = json.load(reply)["models"]
        return any(expected.items() <= each.items() for each in listed)

    assert until(in_use, 20), expected


def publish(cli: CommandLine, photos: Path, output: Path) -> None:
    code, _, err = cli.run("publish", str(photos), "--include", "*.png", "--output", str(output))
    assert code == 0, err


def promote(models: Models, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = model_main(["alias", "promote", NAME, "--registry", models.registry.address, *words])
    said = capsys.readouterr()
    return code, said.out + said.err


def test_a_shadow_that_agrees_is_promoted(
    cli: CommandLine, comparisons: str, models: Models, photos: Path, tmp_path: Path
) -> None:
    serve(cli, models, photos, GOOD, shadow=True)
    saved, registry = str(tmp_path / "saved.jsonl"), models.registry.address
    publish(cli, photos, tmp_path / "run.csv")
    code, out, err = cli.run(
        *("compare", "--shadow", "--for", "30s", "--until-idle", "5"),
        *("--output", saved, "--registry", registry, "--save"),
    )
    assert code == 0, out + err
    assert "comparisons received" in err and "verdict: no worse" in out
    assert f"saved: {registry}/{NAME}/comparisons/" in err
    assert drain(comparisons, print, print, print, duration_s=1.0, idle_s=None, images=None) == 0, "all are acked"

    words = "--labels", str(photos / "labels.csv"), "--margin", "0.05", "--json"
    code, out, err = cli.run("compare", "--shadow", saved, *words)
    found = json.loads(out)
    assert code == 0 and found["source"] == "shadow" and found["accuracy"]["stable_of"] == IMAGES
    assert found["stable"]["requests"] == found["candidate"]["requests"] >= IMAGES
    assert found["accuracy"]["stable"]["value"] > 0.9 < found["accuracy"]["candidate"]["value"]

    code, said = promote(models, cli.capsys)
    assert code == 0 and f"stable names {GOOD} instead of {STABLE_VERSION}" in said
    aliases = models.registry.aliases(NAME)
    assert aliases[STABLE].target == models.targets[GOOD] and not aliases[CANDIDATE].shadow


def test_a_canary_that_is_worse_is_not_promoted(cli: CommandLine, models: Models, photos: Path, tmp_path: Path) -> None:
    serve(cli, models, photos, BAD, percent=50.0)
    publish(cli, photos, tmp_path / "run.csv")
    words = "--canary", NAME, str(tmp_path / "run.csv"), "--registry", models.registry.address, "--save"
    code, out, err = cli.run("compare", *words)
    assert code == 3 and "verdict: worse" in out, out + err
    assert [line for line in out.splitlines() if len(line) > 80] == []
    found = json.loads(cli.run("compare", *words, "--json")[1])
    assert found["stable"]["version"] == STABLE_VERSION and found["candidate"]["version"] == BAD
    assert found["stable"]["requests"] + found["candidate"]["requests"] == IMAGES
    assert min(found["stable"]["requests"], found["candidate"]["requests"]) > IMAGES // 3
    assert cli.run("compare", "--canary", NAME, "job:last", "--registry", models.registry.address)[0] == 3
    code, said = promote(models, cli.capsys)
    assert code == 1 and "is not promoted (--force promotes it anyway): the comparison of" in said
    assert "says worse" in said
    code, said = promote(models, cli.capsys, "--force")
    assert code == 0 and "overridden by --force: the comparison of" in said


def test_two_runs_of_two_models_are_judged(cli: CommandLine, models: Models, photos: Path, tmp_path: Path) -> None:
    serve(cli, models, photos, BAD, percent=0.0)
    publish(cli, photos, tmp_path / "stable.csv")
    serve(cli, models, photos, BAD, percent=100.0)
    publish(cli, photos, tmp_path / "candidate.csv")
    files = str(tmp_path / "stable.csv"), str(tmp_path / "candidate.csv")
    words = "--verdict", "--labels", str(photos / "labels.csv"), "--json"
    code, out, err = cli.run("compare", *files, *words)
    found = json.loads(out)
    assert code == 3 and found["verdict"] == "worse" and found["accuracy"]["mcnemar_p"] < 1e-6, err
    turned = json.loads(cli.run("compare", *reversed(files), *words)[1])
    assert turned["accuracy"]["difference"]["value"] == -found["accuracy"]["difference"]["value"]


def test_comparisons_that_are_not_written_are_delivered_again(
    cli: CommandLine, comparisons: str, tmp_path: Path
) -> None:
    sent = [comparison(number) for number in range(5)]
    for each in sent:
        cli.publisher.publish(f"projects/{PROJECT}/topics/{TOPIC}", encode_comparison(each)).result()
    written: list[Comparison] = []

    def fail(found: Sequence[Comparison]) -> None:
        raise OSError("no space")

    limits: dict[str, Any] = {"duration_s": 30.0, "idle_s": 10.0, "images": len(sent)}
    with pytest.raises(OSError, match="no space"):
        drain(comparisons, fail, print, print, **limits)
    assert drain(comparisons, written.extend, print, print, **limits) == len(sent)
    assert sorted(each.request_id for each in written) == [each.request_id for each in sent]


@pytest.mark.slow
def test_a_kill_loses_no_comparison(cli: CommandLine, comparisons: str, tmp_path: Path, root: Path) -> None:
    cli.subscriber.delete_subscription(subscription=comparisons)
    cli.subscription(f"{TOPIC}-sub", TOPIC, ack_deadline_seconds=10)
    sent, topic, output = 6_000, f"projects/{PROJECT}/topics/{TOPIC}", tmp_path / "saved.jsonl"
    for each in [cli.publisher.publish(topic, encode_comparison(comparison(number))) for number in range(sent)]:
        each.result()
    words = [sys.executable, "-m", "client", "compare", "--shadow", "--output", str(output), "--for", "60s"]
    receiving = subprocess.Popen(words, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert until(lambda: output.exists() and output.stat().st_size, 20)
    receiving.kill()
    assert receiving.wait() == -signal.SIGKILL and 0 < output.read_bytes().count(b"\n") < sent, "killed in the middle"
    code, out, err = cli.run("compare", "--shadow", "--output", str(output), "--until-idle", "13")
    assert code == 0 and f"{sent:,} requests to both models" in out, err


def test_what_is_no_comparison_is_dropped_and_named(cli: CommandLine, comparisons: str, tmp_path: Path) -> None:
    topic = f"projects/{PROJECT}/topics/{TOPIC}"
    for data in (b"no comparison", *map(encode_comparison, map(comparison, range(3)))):
        cli.publisher.publish(topic, data, request_id="evil\x1b").result()
    output = tmp_path / "saved.jsonl"
    code, out, err = cli.run("compare", "--shadow", "--until-idle", "5", "--output", str(output))
    assert code == 3 and "3 requests to both models" in out and "verdict: not enough data" in out
    assert "dropped a message that is no comparison (request evil\\x1b): it is not JSON" in err
    cli.publisher.publish(topic, encode_comparison(comparison(3))).result()
    out = cli.run("compare", "--shadow", "--images", "1", "--output", str(output))[1]
    assert "4 requests to both models" in out, "an output file gets more comparisons"


def test_a_subscription_that_is_not_there_is_named(cli: CommandLine, tmp_path: Path) -> None:
    code, out, err = cli.run("compare", "--shadow", "--output", str(tmp_path / "x.jsonl"), "--subscription", "gone")
    assert (code, out) == (1, "") and "projects/local/subscriptions/gone does not exist" in err
