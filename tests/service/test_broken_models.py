"""A worker that cannot load its model logs why in one line and does not serve."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from infra.local import worker as workers
from infra.local.child import ChildFailed
from infra.local.ports import free_port
from model.artifact.manifest import MANIFEST
from tests.log_lines import log_lines
from tests.unit.test_artifact import SHIPPED, change_signature, sign

TEACHER = Path(__file__).resolve().parents[2] / "model/training/fashion_mnist/teachers/pooled-128/model.tflite"

CRASHING = ((276106, 69), (463302, 11), (477046, 171), (492833, 42))
"""Bytes of the network of version 1.3.0, now a teacher, which LiteRT 2.3 does not survive."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped artifact, to damage."""
    return Path(shutil.copytree(SHIPPED, tmp_path / "artifact"))


def environment(folder: str | Path, **more: str) -> dict[str, str]:
    return {"ARTIFACT": str(folder), "GOOGLE_CLOUD_PROJECT": "p", "PUBSUB_EMULATOR_HOST": "127.0.0.1:9", **more}


def pull_worker(root: Path, env: dict[str, str]) -> tuple[int, list[dict[str, Any]], str]:
    """Its exit code, its lines of log and everything that it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "functions.entrypoints.pull_worker"],
        cwd=root,
        env={**os.environ, **env},
        capture_output=True,
        timeout=60,
    )
    said = done.stderr.decode()
    return done.returncode, [json.loads(line) for line in said.splitlines() if line.startswith("{")], said


def bad_recipe(folder: Path) -> None:
    steps = [{"op": "scale", "factor": 1, "offset": 0}]
    change_signature(folder, preprocessing={"decode_size": "112", "steps": steps})


def deep(folder: Path) -> None:
    (folder / MANIFEST).write_bytes(b"[" * 100_000)


def no_labels(folder: Path) -> None:
    (folder / "labels.txt").unlink()
    (folder / "labels.txt").mkdir()


def other_scores(folder: Path) -> None:
    preprocessing = json.loads((folder / "signature.json").read_text())["preprocessing"]
    preprocessing["steps"][-1]["factor"] = 1.0
    change_signature(folder, preprocessing=preprocessing)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (bad_recipe, "signature.json: preprocessing: decode_size"),
        (deep, "manifest.json is nested too deeply"),
        (no_labels, "labels.txt in "),
        (other_scores, "litert scores the golden image"),
    ],
)
def test_a_pull_worker_reports_a_broken_model_in_one_line(
    root: Path, folder: Path, damage: Callable[[Path], None], said: str
) -> None:
    damage(folder)
    code, lines, printed = pull_worker(root, environment(folder))
    errors = [line["message"] for line in lines if line["severity"] == "ERROR"]
    assert code == 2 and len(errors) == 1 and errors[0].startswith("cannot start: ") and said in errors[0]
    assert "Traceback" not in printed


def test_a_pull_worker_reports_a_cache_that_cannot_be_written(root: Path, tmp_path: Path) -> None:
    env = environment("gs://models/fashion-mnist", ARTIFACT_CACHE="/proc/artifacts")
    code, lines, printed = pull_worker(root, env | {"STORAGE_EMULATOR_HOST": "http://127.0.0.1:9"})
    assert code == 2 and "Traceback" not in printed
    assert lines[-1]["message"].startswith("cannot start: ARTIFACT_CACHE is '/proc/artifacts'; it cannot be written")


def test_a_push_worker_with_a_broken_model_is_not_ready_and_logs_why(root: Path, folder: Path, tmp_path: Path) -> None:
    bad_recipe(folder)
    port, log = free_port(), tmp_path / "log"
    worker = workers.start_push(port, environment(folder), log)
    try:
        with pytest.raises(ChildFailed, match="answers /ready with 503"):
            workers.wait_push(worker, port)
        with pytest.raises(HTTPError) as answer:
            urlopen(f"http://127.0.0.1:{port}/ready", timeout=10)
        assert answer.value.code == 503 and json.load(answer.value) == {"status": "not ready"}
    finally:
        worker.stop()
    started, *lines = log_lines(log)
    assert (started["message"], started["artifact"]) == ("starting", str(folder)), "once, though each probe tries again"
    assert len(lines) > 1 and {line["message"].partition(": ")[0] for line in lines} == {"not ready"}
    assert all("decode_size is '112'" in line["message"] and "exception" not in line for line in lines)
    assert "Traceback" not in log.read_text()


@pytest.fixture
def crashing(folder: Path) -> tuple[Path, str]:
    """An artifact whose model.tflite ends the process that loads it, and its digest."""
    model = bytearray(TEACHER.read_bytes())
    for place, value in CRASHING:
        model[place] = value
    (folder / "model.tflite").write_bytes(model)
    sign(folder)
    return folder, json.loads((folder / MANIFEST).read_text())["digest"]


def test_a_model_that_crashes_a_pull_worker_is_named(root: Path, crashing: tuple[Path, str]) -> None:
    folder, digest = crashing
    code, lines, printed = pull_worker(root, environment(folder))
    assert code == -11 and "Fatal Python error: Segmentation fault" in printed
    last = lines[-1]
    assert (last["message"], last["artifact"], last["digest"]) == ("loading model", str(folder), digest)


def test_a_model_that_crashes_one_of_several_processes_is_named(root: Path, crashing: tuple[Path, str]) -> None:
    folder, _ = crashing
    code, _, printed = pull_worker(root, environment(folder, WORKER_PROCESSES="2"))
    # Not by lines: the crashing process writes to the same stderr at the same time.
    assert code == 11 and f"a worker process was ended by SIGSEGV while it loaded the model {folder}" in printed


@pytest.mark.slow
@pytest.mark.parametrize("delivery", ["push", "pull"])
def test_the_twin_names_a_model_that_crashes(
    root: Path, tmp_path: Path, crashing: tuple[Path, str], delivery: str
) -> None:
    folder, digest = crashing
    port, log = free_port(), tmp_path / "log"
    env = environment(folder)
    worker = workers.start_push(port, env, log) if delivery == "push" else workers.start_pull(env, log)
    try:
        with pytest.raises(ChildFailed) as failed:
            workers.wait_push(worker, port) if delivery == "push" else workers.wait_pull(worker)
    finally:
        worker.stop()
    said = str(failed.value)
    assert "was killed by SIGSEGV" in said
    assert str(folder) in log.read_text() and digest in log.read_text()


def test_a_server_that_replaces_a_crashed_process_logs_the_model(root: Path) -> None:
    code = """
import os
from functions.observability.json_logging import configure
from functions.runtime.model_loader import _loading
configure("INFO", "")
if not (child := os.fork()):
    with _loading("gs://models/x"):
        os._exit(1)
os.waitpid(child, 0)
with _loading("gs://models/x"):
    pass
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "a worker process ended while it loaded the model gs://models/x" in done.stderr


def test_a_process_killed_while_serving_is_reported_as_serving(root: Path) -> None:
    code = """
import os, signal, sys
from functions.runtime.process_pool import ProcessPool
from functions.observability.json_logging import configure
configure("INFO", "")
def work(loaded):
    loaded()
    os.kill(os.getpid(), signal.SIGKILL)
sys.exit(ProcessPool(1, work, "gs://models/x").wait())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60)
    assert done.returncode == 9 and "a worker process was ended by SIGKILL while it served" in done.stderr
