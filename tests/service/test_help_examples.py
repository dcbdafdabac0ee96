"""The examples in --help work, in a shell and in this order, for someone who has the files that they name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from google.cloud import storage

from client.results.record import Record
from client.results.result_files import open_writer
from functions.messages.comparison import encode_comparison
from infra.local.twin import Delivery, Twin
from model.registry.aliases import CANDIDATE, STABLE
from model.registry.registry import Registry
from tests.help_examples import examples
from tests.registry_models import push, set_alias
from tests.service.cli_harness import PROJECT, CommandLine
from tests.unit.test_compare_verdict import comparison, side

LONG_AGO = "2026-01-01T00:00:00.000Z"
COLLECTED = ("results.sqlite", "results.csv", "all.csv")
ORDER = ("publish", "submit", "upload", "predict", "jobs", "status", "wait", "report", "evaluate", "replay", "compare")


@pytest.fixture
def twin(shared_twin: Callable[[Delivery], Twin]) -> Twin:
    return shared_twin("push")


@pytest.fixture
def shop(cli: CommandLine, twin: Twin, root: Path, tmp_path: Path) -> Iterator[Path]:
    """A folder with the files of the examples; a bucket that the worker may read and the topic are there too."""
    samples = root / "client" / "samples"
    for name in ("shoe.png", "photos/Bag/bag.bmp", "photos/Coat/coat.tif", "more/sneaker.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        source = "t-shirt.png" if name == "shoe.png" else Path(name).name
        (tmp_path / name).write_bytes((samples / source).read_bytes())
    shutil.copytree(root / "model" / "artifacts" / "fashion-mnist", tmp_path / "my-artifact")
    with storage.Client(project=PROJECT) as client:
        bucket = client.bucket("payloads")
        bucket.blob("2026/bag.bmp").upload_from_filename(str(samples / "bag.bmp"))
    worker = cli.subscriber.get_subscription(subscription=f"projects/{PROJECT}/subscriptions/req_predict-sub")
    path = cli.subscription("candidate", cli.topic("req_candidate"), push_config=worker.push_config)
    old = Record(file="old.png", request_id="old", status="ok", label="Bag", score=0.5, completed_at=LONG_AGO)
    write(tmp_path / "all.csv", [old])
    canary(tmp_path)
    for number in range(300):
        cli.publisher.publish(f"projects/{PROJECT}/topics/compare_predict", encode_comparison(comparison(number)))
    yield tmp_path
    cli.subscriber.delete_subscription(subscription=path)
    cli.purge(f"projects/{PROJECT}/subscriptions/compare_predict-sub")


def canary(folder: Path) -> None:
    """A registry with two versions of a model, and results of a canary."""
    registry = Registry.at(str(folder / "models"))
    stable, candidate = push(registry, folder, "1.0.0", "1.1.0", name="clothing")
    set_alias(registry, stable, STABLE, name="clothing")
    set_alias(registry, candidate, CANDIDATE, name="clothing", percent=25.0)
    write(
        folder / "week.csv",
        [
            *side("1", 6_000, model_name="clothing", model_version="1.0.0", model_digest=stable.digest),
            *side("2", 2_000, model_name="clothing", model_version="1.1.0", model_digest=candidate.digest),
        ],
    )


def write(path: Path, records: list[Record]) -> None:
    writer = open_writer(path, print)
    for record in records:
        writer.write(record)
    writer.close()


def run(line: str, folder: Path, root: Path, twin: Twin) -> subprocess.CompletedProcess[str]:
    script = f"predictions() {{ '{os.environ['PYTHON']}' -m client \"$@\"; }}\n{line}"
    environ = os.environ | {"PYTHONPATH": str(root), "XDG_DATA_HOME": str(folder / "data")}
    return subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False
    )


def test_examples_work(
    shop: Path, root: Path, twin: Twin, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHON", sys.executable)
    failures = []
    for command in ORDER:
        script = examples([command], capsys, monkeypatch)
        if command == "submit":
            script = ["\n".join(script)]  # the second line needs the first one's variable
        if command == "report":  # its files are those of collect
            script = [f"predictions wait last --output {name}" for name in COLLECTED] + script
        for line in script:
            line = line.replace("http://127.0.0.1:8080", os.environ["WORKER_URL"]).replace(
                "gs://photos", "gs://payloads"
            )
            if command == "compare" and not (shop / "stable.csv").exists():
                shutil.copy(shop / "run.csv", shop / "stable.csv")
            done = run(line, shop, root, twin)
            if done.returncode:
                failures.append(f"{line}\n{done.returncode} {done.stdout}{done.stderr}")
    assert failures == []
