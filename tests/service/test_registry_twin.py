"""The twin with models of a registry, in a folder and in one of its own buckets."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Literal

import pytest
import requests
from google.cloud import pubsub_v1

from client.__main__ import main
from infra.local.twin import Twin
from model.errors import RegistryError
from model.registry.registry import Registry
from tests.registry_models import NAME, push, set_alias
from tests.waiting import until

SNEAKER = Path(__file__).resolve().parents[2] / "client" / "samples" / "sneaker.jpg"


@pytest.mark.parametrize("worker", ["push", "pull"])
@pytest.mark.parametrize("place", ["folder", "gs://models/registry"])
def test_requests_are_answered_by_the_registry(
    place: str,
    worker: Literal["push", "pull"],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    address = str(tmp_path / "models") if place == "folder" else place
    log = tmp_path / "worker.log"
    settings = {"ALIASES_MAX_AGE_S": "1"}
    with Twin(worker=worker, log_path=log, registry=address, models=NAME, worker_env=settings) as twin:
        assert f"pushed the shipped model, {NAME} " in capfd.readouterr().err
        assert "STORAGE_EMULATOR_HOST" not in os.environ, "it was set for the push only"
        for name, value in twin.env.items():
            monkeypatch.setenv(name, value)
        registry = Registry.at(twin.env["REGISTRY"])
        assert main(["publish", "--json", str(SNEAKER)], os.environ) == 0
        first = json.loads(capfd.readouterr().out)["response"]
        assert first["model"]["version"] == registry.aliases(NAME)["stable"].target.version

        set_alias(registry, push(registry, tmp_path, "9")[0])

        def version() -> str:
            assert main(["publish", "--json", str(SNEAKER)], os.environ) == 0
            return str(json.loads(capfd.readouterr().out)["response"]["model"]["version"])

        assert until(lambda: version() == "9", 60), "the alias moved, and nothing was started again"


def test_shadows_score_to_the_comparison_topic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry.at(str(tmp_path / "models"))
    one, two = push(registry, tmp_path, "1", "2")
    set_alias(registry, one)
    set_alias(registry, two, "candidate", shadow=True)
    settings = {"ALIASES_MAX_AGE_S": "1"}
    with Twin(
        worker="push", log_path=tmp_path / "log", registry=registry.address, models=NAME, worker_env=settings
    ) as twin:
        for name, value in twin.env.items():
            monkeypatch.setenv(name, value)
        assert twin.worker_url

        def loaded() -> bool:
            assert main(["publish", "--json", str(SNEAKER)], os.environ) == 0
            return "candidate" in requests.get(f"{twin.worker_url}/ready", timeout=20).text

        assert until(loaded, 60)
        assert main(["publish", "--json", str(SNEAKER)], os.environ) == 0
        with pubsub_v1.SubscriberClient() as subscriber:
            path = subscriber.subscription_path(twin.project, "compare_predict-sub")
            found = subscriber.pull(subscription=path, max_messages=1, timeout=20).received_messages
        assert [json.loads(each.message.data)["alias"] for each in found] == ["candidate"]


def test_a_missing_alias_stops_the_twin(tmp_path: Path) -> None:
    registry = Registry.at(str(tmp_path / "models"))
    push(registry, tmp_path, "1")
    with pytest.raises(RegistryError) as caught:
        Twin(registry=registry.address, models=f"{NAME}, shoes", log_path=tmp_path / "log").start()
    assert str(caught.value) == (
        f"{registry.address} has no alias stable of {NAME}, which the worker is to serve. Run:\n"
        f"  predictions model alias set {NAME} stable 1 --registry {registry.address}\n"
        f"{registry.address} has no alias stable of shoes, which the worker is to serve. Run:\n"
        f"  predictions model push FOLDER --registry {registry.address}\n"
        f"  predictions model alias set shoes stable VERSION --registry {registry.address}"
    )


def test_a_registry_in_the_twins_bucket_is_filled_without_a_worker(tmp_path: Path) -> None:
    with (
        pytest.raises(RegistryError, match=r"no alias stable of shoes(.|\n)*--data-dir DIR --worker none"),
        Twin(worker="push", registry="gs://models/registry", models="shoes"),
    ):
        pass
    with Twin(worker=None, data_dir=tmp_path / "data") as twin, pytest.MonkeyPatch.context() as patch:
        for name, value in twin.env.items():
            patch.setenv(name, value)
        registry = Registry.at("gs://models/registry")
        set_alias(registry, push(registry, tmp_path, "1", name="shoes")[0], name="shoes")
    with Twin(worker="push", data_dir=tmp_path / "data", registry="gs://models/registry", models="shoes") as twin:
        ready = requests.get(f"{twin.env['WORKER_URL']}/ready", timeout=10).json()
        assert ready["models"][0]["alias"] == "shoes@stable"


def test_the_command_line_takes_registry_and_models(tmp_path: Path, root: Path) -> None:
    """As `make up REGISTRY=... MODELS=...` passes them: in the environment, relative to the current folder."""
    command = [sys.executable, "-m", "infra.local", "up"]
    env = os.environ | {"PYTHONPATH": str(root), "MODELS": NAME}
    refused = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert (
        refused.stderr == "error: --models is given and --registry is not; give both, or neither to serve an artifact\n"
    )

    env |= {"REGISTRY": "models"}
    with subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True) as twin:
        try:
            assert twin.stderr
            lines = []
            for line in twin.stderr:
                lines.append(line)
                if "up --env" in line or line.startswith("error"):
                    break
            said = "".join(lines)
            assert f"models   {NAME} of models\n" in said, said
            url = re.findall(r"^worker   (\S+)", said, re.M)[0]
            with urllib.request.urlopen(f"{url}/ready") as reply:
                [served] = json.load(reply)["models"]
            assert served["alias"] == f"{NAME}@stable"
            assert (tmp_path / "models" / NAME / "aliases.json").is_file()
        finally:
            twin.send_signal(signal.SIGTERM)
            twin.communicate(timeout=20)
    assert twin.returncode == 0
