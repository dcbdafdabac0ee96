"""The client's wheel in a fresh environment, outside of the checkout."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from client.version import version


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder."""
    return tmp_path_factory.mktemp("outside")


@pytest.fixture(scope="module")
def predictions(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, installed from the wheel. Nothing is downloaded: the libraries are those of this environment.

    Its site-packages folder is on the new environment's path, but its .pth files, and so the checkout, are not.
    """
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "wheel", str(root), "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder)]
    subprocess.run(build, check=True, timeout=120)
    [wheel] = folder.glob("image_prediction_pipeline-*.whl")
    assert wheel.stat().st_size < 6_000_000
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    python = folder / "venv" / "bin" / "python"
    install = [*pip, "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, timeout=120)
    [site] = (folder / "venv" / "lib").glob("python*/site-packages")
    libraries = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    libraries |= {path for path in sys.path if path.endswith("site-packages")}
    (site / "libraries.pth").write_text("\n".join(sorted(libraries)))
    return folder / "venv" / "bin" / "predictions"


def environ() -> dict[str, str]:
    """This process's environment without what leads to the checkout or to another twin."""
    names = ("PYTHONPATH", "PUBSUB_EMULATOR_HOST", "STORAGE_EMULATOR_HOST", "GOOGLE_CLOUD_PROJECT", "WORKER_URL")
    return {name: value for name, value in os.environ.items() if name not in names}


def run(predictions: Path, outside: Path, *words: str, **given: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [predictions, *words], cwd=outside, env=environ() | given, capture_output=True, text=True, timeout=60
    )


@pytest.fixture(scope="module")
def twin(predictions: Path, outside: Path) -> Iterator[dict[str, str]]:
    """The environment of a twin that runs from the wheel."""
    with subprocess.Popen(
        [predictions, "up"], cwd=outside, env=environ(), stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr
        lines = []
        for line in process.stderr:
            lines.append(line)
            if line.startswith("ready in "):
                break
        else:
            pytest.fail("".join(lines))
        exports = run(predictions, outside, "up", "--env", str(process.pid)).stdout
        yield dict(re.findall(r"^export (\w+)=(.*)$", exports, re.M))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)


def test_the_wheel_shows_version_and_help(predictions: Path, outside: Path) -> None:
    assert run(predictions, outside, "--version").stdout == f"predictions {version()}\n"
    shown = run(predictions, outside, "--help")
    assert shown.returncode == 0 and "predictions publish shoe.png" in shown.stdout
    for command in ("model", "up", "scale"):
        shown = run(predictions, outside, command, "--help")
        assert shown.returncode == 0 and shown.stdout.startswith(f"usage: predictions {command} ")


def test_images_are_published_and_answered(predictions: Path, outside: Path, twin: dict[str, str], root: Path) -> None:
    done = run(predictions, outside, "publish", str(root / "client" / "samples"), **twin)
    assert done.returncode == 0, done.stderr
    assert re.search(r"trouser\.jpg +Trouser +[01]\.\d{4} +\d+$", done.stdout, re.M)
    assert done.stderr.endswith("10 of 10 answered; left out of folders: 3 .py, 1 .csv\n")


PROGRAM = """
from typing import assert_type
from client import Prediction, Predictions, Result

with Predictions() as p:
    for result in p.predict("shoe.png", top_k=3):
        assert_type(result, Result)
        assert_type(result.predictions, tuple[Prediction, ...])
    p.predict("shoe.png", topk=3)
"""


def test_the_python_api_has_types_outside_of_the_checkout(predictions: Path, outside: Path) -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(outside / "mypy"), "-c", PROGRAM]
    command += ["--python-executable", str(predictions.with_name("python"))]
    done = subprocess.run(command, cwd=outside, env=environ(), capture_output=True, text=True, timeout=120)
    [error, *rest] = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert 'Unexpected keyword argument "topk" for "predict" of "Predictions"' in error and not rest, done.stdout


def test_the_doctor_finds_the_shipped_artifact(predictions: Path, outside: Path, twin: dict[str, str]) -> None:
    done = run(predictions, outside, "doctor", "--json", **twin)
    assert done.returncode == 0, done.stdout + done.stderr
    [artifact] = [each for each in map(json.loads, done.stdout.splitlines()) if each["subject"] == "artifact"]
    assert "site-packages/model/artifacts/fashion-mnist" in artifact["message"]


def test_the_wheel_plans_with_its_own_prices(predictions: Path, outside: Path) -> None:
    done = run(predictions, outside, "plan", "--images-per-day", "1e6")
    assert done.returncode == 0 and "site-packages/client/plan/prices.toml" in done.stdout


def test_the_wheel_does_not_use_the_checkout(predictions: Path, outside: Path, root: Path) -> None:
    code = "import client, functions, infra, model; print(client.__file__, functions.__file__, infra.__file__)"
    done = subprocess.run(
        [predictions.with_name("python"), "-c", code], cwd=outside, env=environ(), capture_output=True, text=True
    )
    assert done.returncode == 0 and str(root) not in done.stdout
