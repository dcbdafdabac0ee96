"""The README's section "Bring your own model": its five commands, run on a few generated photos."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.service.test_up import UP, running

pytest.importorskip("tensorflow", reason="no TensorFlow: pip install -r model/requirements.txt")

from model.__main__ import main
from model.training.export import variants
from tests.fakes import UNMEASURED

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

QUICK = ["--weights", "none", "--backbone", "MobileNet", "--size", "32", "--epochs", "1", "--fine-tune-epochs", "0"]
"""Added to the README's training, where the last of two options wins: no download, no large network."""


def commands(root: Path) -> list[str]:
    """The first block of the section, without its comments."""
    section = (root / "README.md").read_text().split("## Bring your own model\n")[1].split("\n## ")[0]
    block = re.search(r"(?:^ {4}.+\n)+", section, re.M)
    assert block
    return [line.split("  #")[0].strip() for line in block[0].splitlines()]


def argv(line: str) -> list[str]:
    """The module and its arguments for a line that begins with `predictions`."""
    command, *words = shlex.split(line)
    assert command == "predictions"
    return words if words[0] == "model" else ["client", *words]


def test_the_five_commands(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    listing, training, exporting, serving, publishing = commands(root)
    for folder, count in (("photos/green", 6), ("photos/red", 6), ("new-photos", 2)):
        (tmp_path / folder).mkdir(parents=True)
        for number in range(count):
            colour = "red" if folder.endswith("red") else "green"
            Image.new("RGB", (60, 40 + number), colour).save(tmp_path / folder / f"{number}.png")

    def run_model(line: str, *more: str) -> str:
        module, *words = argv(line)
        assert (module, main([*words, *more])) == ("model", 0)
        return capsys.readouterr().out

    monkeypatch.setattr(variants, "measure_speeds", lambda targets: [UNMEASURED for _ in targets])
    monkeypatch.chdir(tmp_path)
    names = [row.split()[0] for row in run_model(listing).splitlines()]
    assert argv(training)[argv(training).index("--backbone") + 1] in names
    run_model(training, *QUICK)
    made = run_model(exporting)

    served = re.fullmatch(r"ARTIFACT=(\S+) make up", serving)
    assert served and f"{tmp_path / served[1]}: sha256:" in made
    monkeypatch.setenv("ARTIFACT", str(tmp_path / served[1]))
    with running(root, tmp_path / "worker.log") as twin:
        assert twin.ready(), twin.said
        printed = subprocess.run(
            [*UP, "--env", str(twin.process.pid)], cwd=root, capture_output=True, text=True, timeout=20
        ).stdout
        environment = dict(line.removeprefix("export ").split("=", 1) for line in printed.splitlines())
        done = subprocess.run(
            [sys.executable, "-m", *argv(publishing), "--json"],
            env={**os.environ, "PYTHONPATH": str(root), **environment},
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line)["response"] for line in done.stdout.splitlines()]
    digest = json.loads((tmp_path / served[1] / "manifest.json").read_text())["digest"]
    assert [answer["model"]["digest"] for answer in answers] == [digest, digest]
    for answer in answers:
        assert {each["label"] for each in answer["predictions"]} == {"green", "red"}
