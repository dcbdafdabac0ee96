"""The worker's image, built by the Dockerfile's steps in a fresh environment: small, compiled, complete."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from google.cloud import pubsub_v1, storage

from functions.bootstrap import build as build_service
from functions.messages.contract import Envelope
from functions.settings import Settings
from infra.local.child import Child
from infra.local.kafka import NoKafka, find
from infra.local.ports import LOOPBACK, free_port
from infra.local.twin import Twin
from infra.local.worker import wait_pull, wait_push
from infra.slim import NEVER_LOADED, size
from model.images.decode import FORMATS
from model.labels import Prediction
from tests import dockerfile
from tests.conftest import ROOT, absent
from tests.fakes import engine_of, respond
from tests.onnx_models import EDGES, network, saved
from tests.pubsub_client import PubsubClient
from tests.samples import BAD_IMAGES, encoded
from tests.waiting import until

AT_MOST = 200_000_000
NO_INDEX = re.compile(r"^ERROR: (Could not find a version|No matching distribution).*", re.M)
PUSHER = "pusher@example.com"
GOOD = encoded()
IMPORTS = """
import importlib, pkgutil, functions, model
for package in functions, model:
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        print(importlib.import_module(module.name).__cached__)
import google.cloud.storage, google.cloud.pubsub_v1, jwt, opentelemetry.sdk.trace.export, sys
print(*(each.__cached__ for each in list(sys.modules.values()) if getattr(each, "__cached__", None)), sep="\\n")
"""

SCORES = f"""
import importlib.util, sys, numpy as np
from pathlib import Path
from model.engines.base import Signature
from model.engines.onnx import OnnxEngine
engine = OnnxEngine(Path(sys.argv[1]), Signature(*{EDGES}, 3, "float32", ("a", "b", "c"), {{}}))
print(engine.score(np.zeros((2, *{EDGES}, 3), np.float32)).shape, bool(importlib.util.find_spec("onnx")))
"""


@contextmanager
def image_of(**arguments: str) -> Iterator[dockerfile.Image]:
    """An image, built with arguments of the Dockerfile."""
    with tempfile.TemporaryDirectory(prefix="image-") as folder:  # not pytest's own, of which it keeps three
        try:
            built = dockerfile.build(ROOT, Path(folder).resolve(), arguments)
        except dockerfile.BuildFailed as exc:
            if reason := NO_INDEX.search(str(exc)):
                absent(f"pip finds no packages here: {reason[0]}")
            raise
        yield built


@pytest.fixture(scope="module")
def image() -> Iterator[dockerfile.Image]:
    with image_of() as built:
        yield built


def test_the_image_with_onnx_runtime_scores_an_onnx_file(tmp_path: Path) -> None:
    """It is built for an artifact whose only engine is onnx; the package onnx is not in it."""
    with image_of(LOCK="requirements-onnx.lock") as built:
        assert size(built.folder / "venv") <= AT_MOST + 80_000_000
        done = subprocess.run(
            ["python", "-c", SCORES, str(saved(tmp_path / "model.onnx", network()))],
            cwd=built.workdir, env=built.env, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == "(2, 3) False\n"


def test_the_image_with_kafkas_client_answers_over_kafka(tmp_path: Path) -> None:
    """It is built for `compute = "kafka"`."""
    try:
        find()
    except NoKafka as exc:
        absent(str(exc))
    command = ["python", "-m", "functions.entrypoints.kafka_worker"]
    with (
        image_of(ALSO="requirements-kafka.lock") as built,
        Twin(worker=None, broker="kafka", log_path=tmp_path / "twin.log") as twin,
        started(built, command, twin.env, tmp_path / "worker.log") as worker,
    ):
        assert size(built.folder / "venv") <= AT_MOST + 20_000_000
        wait_pull(worker)
        done = subprocess.run(
            [sys.executable, "-m", "client", "publish", "client/samples/sneaker.jpg"],
            cwd=ROOT, env={**os.environ, **twin.env}, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 0 and "Sneaker" in done.stdout, done.stderr


@pytest.fixture
def twin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Twin]:
    with Twin(worker=None) as twin:
        for name, value in twin.env.items():
            monkeypatch.setenv(name, value)
        yield twin


@pytest.fixture(scope="module")
def expected() -> Iterator[tuple[Prediction, ...]]:
    """Predictions of the checkout itself."""
    handler = build_service(Settings(project="p"))
    yield respond(handler, Envelope("m", GOOD)).predictions
    engine_of(handler).close()


@contextmanager
def started(image: dockerfile.Image, command: list[str], env: Mapping[str, str], log: Path) -> Iterator[Child]:
    """A process of the image, which knows nothing of this one's environment."""
    child = Child("worker", command, log=log, cwd=image.workdir, env={**image.env, **env})
    try:
        yield child
    finally:
        child.stop()


def test_the_image_is_small(image: dockerfile.Image) -> None:
    whole = size(image.folder)
    assert whole <= AT_MOST, f"{whole:,} bytes"


def test_unused_libraries_are_removed_from_the_image(image: dockerfile.Image) -> None:
    venv = image.folder / "venv"
    assert [pattern for pattern in NEVER_LOADED if list(venv.glob(pattern))] == []


def test_the_image_contains_compiled_modules(image: dockerfile.Image) -> None:
    """Every module that an entry point, option or engine without TensorFlow imports is there, with its bytecode."""
    done = subprocess.run(
        ["python", "-c", IMPORTS], cwd=image.workdir, env=image.env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    cached = {Path(line) for line in done.stdout.splitlines() if line.startswith(str(image.folder))}
    assert len(cached) > 500
    assert [path for path in cached if not path.is_file()] == []


def test_the_images_command_serves_every_entry_point(
    image: dockerfile.Image, twin: Twin, expected: tuple[Prediction, ...], tmp_path: Path
) -> None:
    port = free_port()
    env = {
        **twin.env,
        **{"PORT": str(port), "PUSH_AUDIENCE": "worker", "PUSH_SERVICE_ACCOUNT": PUSHER},
        **{"RESPONSE_STORE": "gs://payloads/answers", "OTEL_TRACES_EXPORTER": "console"},
    }
    command = [LOOPBACK if word == "0.0.0.0" else word for word in image.command]
    with started(image, command, env, tmp_path / "worker.log") as worker, PubsubClient(twin.project) as pubsub:
        wait_push(worker, port)
        url = f"http://{LOOPBACK}:{port}"
        with pubsub_v1.SubscriberClient() as subscriber:
            for name, path in (("req_predict-sub", "/"), ("dead_predict-announce", "/dead")):
                token = {"service_account_email": PUSHER, "audience": "worker"}
                subscriber.modify_push_config(
                    subscription=f"projects/{twin.project}/subscriptions/{name}",
                    push_config={"push_endpoint": url + path, "oidc_token": token},
                )
        answers = asked_and_answered(pubsub, ["a message", "a dead letter"])
        assert answers.pop("a dead letter") == ("unavailable", ())
        assert set(answers.values()) == {("ok", expected)} and len(answers) == 2
        assert until(lambda: '"name": "predict"' in worker.log.read_text()), "a span for each stage"
        assert len(list(pubsub.storage.list_blobs("payloads", prefix="answers/"))) == 2
        for format in FORMATS:
            assert by_hand(url, encoded(format, (40, 30), "RGB")) == "ok"
        assert {name: by_hand(url, data) for name, (data, _) in BAD_IMAGES.items()} == {
            name: code for name, (_, code) in BAD_IMAGES.items()
        }


def test_the_image_runs_a_pull_worker_with_a_model_from_a_bucket(
    image: dockerfile.Image, twin: Twin, expected: tuple[Prediction, ...], tmp_path: Path
) -> None:
    shipped = ROOT / "model" / "artifacts" / "fashion-mnist"
    with PubsubClient(twin.project) as pubsub:
        for file in (path for path in shipped.rglob("*") if path.is_file()):
            pubsub.storage.bucket("models").blob(f"shoes/{file.relative_to(shipped)}").upload_from_filename(str(file))
        env = {**twin.env, "ARTIFACT": "gs://models/shoes", "ARTIFACT_CACHE": str(tmp_path / "cache")}
        address = f"{LOOPBACK}:{free_port()}"
        command = ["python", "-m", "functions.entrypoints.pull_worker"]
        with started(image, command, {**env, "HEALTH_ADDRESS": address}, tmp_path / "worker.log") as worker:
            wait_pull(worker)
            assert set(asked_and_answered(pubsub, ["a message"]).values()) == {("ok", expected)}
            assert until(lambda: requests.get(f"http://{address}/health", timeout=5).json()["outcomes"]["ok"] == 2)


def test_the_image_runs_the_nightly_batch(image: dockerfile.Image, twin: Twin, tmp_path: Path) -> None:
    storage.Client(project=twin.project).bucket("payloads").blob("in/shoe.png").upload_from_string(GOOD)
    topic = f"projects/{twin.project}/topics/req_predict"
    command = ["python", "-m", "functions.entrypoints.batch_publish", "gs://payloads/in/", "--topic", topic]
    done = subprocess.run(
        command, cwd=image.workdir, env={**image.env, **twin.env}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and '"requests": 1' in done.stderr, done.stderr


def test_the_image_scales_a_pool(image: dockerfile.Image) -> None:
    """It has what the calls need; here it gets as far as the credentials."""
    names = [
        "projects/p/locations/r/workerPools/pool",
        "--subscription=projects/p/subscriptions/s",
        "--max=3",
        "--json",
    ]
    done = subprocess.run(
        ["python", "-m", "functions.entrypoints.scale_pool", *names],
        cwd=image.workdir,
        env={**image.env, "NO_GCE_CHECK": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and done.stdout == "", done.stderr
    assert "nothing is changed: there are no credentials" in json.loads(done.stderr.splitlines()[-1])["message"]


def asked_and_answered(pubsub: PubsubClient, ids: list[str]) -> dict[str, tuple[str, tuple[Prediction, ...]]]:
    """A message, where it is asked for a dead letter, and a dropped file: code and predictions by request."""
    wanted = {pubsub.drop("shoe.png", GOOD)}
    for request_id in ids:
        topic = "dead_predict" if request_id == "a dead letter" else "req_predict"
        pubsub.publisher.publish(f"projects/{pubsub.project}/topics/{topic}", GOOD, request_id=request_id).result(10)
        wanted.add(request_id)
    found = {each.request_id: each for each in pubsub.responses(wanted)}
    assert found.keys() == wanted
    return {
        request_id: (each.error.code if each.error else "ok", each.predictions) for request_id, each in found.items()
    }


def by_hand(url: str, data: bytes) -> str:
    body = requests.post(f"{url}/predict?explain=true", data, timeout=30).json()
    return str(body["error"]["code"] if body["error"] else body["status"])
