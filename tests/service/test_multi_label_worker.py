"""A multi-label artifact end to end: worker process, broker with its schema, HTTP, and the files of our client."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from client.__main__ import main
from infra.local.twin import Twin
from tests.samples import encoded
from tests.unit.test_artifact import change_signature

THRESHOLD = 0.001


@pytest.fixture(scope="module")
def twin(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twin]:
    """A worker whose model is the shipped one, with labels that do not exclude each other."""
    folder = tmp_path_factory.mktemp("model") / "several"
    shutil.copytree(root / "model" / "artifacts" / "fashion-mnist", folder)
    change_signature(folder, outputs="multilabel-probabilities", multi_label=True, threshold=THRESHOLD)
    with Twin(worker="push", worker_env={"ARTIFACT": str(folder)}) as running:
        yield running


@pytest.mark.parametrize("command", ["publish", "predict"])
def test_the_labels_of_an_image_reach_the_client(
    command: str, twin: Twin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in twin.env.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "a.png").write_bytes(encoded())
    sent = [command, *(["--url", twin.env["WORKER_URL"]] if command == "predict" else []), str(tmp_path / "a.png")]

    assert main([*sent, "--json", "--top-k", "10"], twin.env) == 0
    response: dict[str, Any] = json.loads(capsys.readouterr().out)["response"]
    expected = [each["label"] for each in response["predictions"] if each["score"] >= THRESHOLD]
    assert len(expected) > 1, "the image has several labels"
    assert (response["multi_label"], response["labels"]) == (True, expected)

    assert main([*sent, "--top-k", "1", "--output", str(tmp_path / "a.csv")], twin.env) == 0
    shown = capsys.readouterr().out
    assert all(label in shown for label in expected)
    with (tmp_path / "a.csv").open(newline="") as file:
        [row] = csv.DictReader(file)
    assert (json.loads(row["labels"]), row["label"]) == (expected, expected[0])
    assert len(json.loads(row["predictions"])) == 1
