"""The retrain loop on the twin: a request, a real training, a version, a candidate, an answer; and what goes wrong."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.cloud import pubsub_v1, storage
from PIL import Image

from client.dead_letters.dead_letter import DeadLetter
from infra.local.topology import Topology
from infra.local.twin import Twin
from model.registry.aliases import CANDIDATE, STABLE
from model.registry.registry import Registry
from tests.conftest import ROOT
from tests.registry_models import NAME, set_alias
from tests.training_worker import CONFIG, DATA, REGISTRY, Sender, wait_for, worker

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.usefixtures("tensorflow", "environment")]

COLOURS = ("blue", "green", "red")


@pytest.fixture(scope="module")
def twin() -> Iterator[Twin]:
    with Twin(Topology.read().with_retry(0.1, 1), worker=None) as running:
        yield running


@pytest.fixture
def environment(twin: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in twin.env.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def images(twin: Twin) -> None:
    """Three colours, 30 images of each, and what is no image."""
    patch = pytest.MonkeyPatch()
    for name, value in twin.env.items():
        patch.setenv(name, value)
    bucket = storage.Client(project=twin.project).bucket("models")
    rng = np.random.default_rng(0)
    for column, label in enumerate(COLOURS):
        for number in range(30):
            pixels = rng.integers(0, 100, (40, 50, 3))
            pixels[..., 2 - column] += 150
            file = io.BytesIO()
            Image.fromarray(pixels.astype(np.uint8)).save(file, "JPEG")
            bucket.blob(f"data/colours/{label}/{number}.jpg").upload_from_string(file.getvalue())
    bucket.blob("data/colours/red/notes.txt").upload_from_string("no image")
    bucket.blob("data/one/red/1.jpg").upload_from_string(b"x")
    patch.undo()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Weights of the backbone that tell colours apart. In a process of its own: this one needs no TensorFlow."""
    path = tmp_path_factory.mktemp("weights") / "lively.npz"
    code = "import sys; from pathlib import Path; from tests.lab.test_transfer import lively; lively(Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
    return str(path)


@pytest.fixture
def sender(twin: Twin, environment: None, request: pytest.FixtureRequest) -> Sender:
    return Sender(twin.project, f"s{abs(hash(request.node.name))}")


def test_a_request_is_trained_pushed_and_made_the_candidate(
    images: None, weights: str, sender: Sender, tmp_path: Path
) -> None:
    with worker(tmp_path, TRAIN_WEIGHTS=weights):
        sender.send()
        first = sender.receive()
        assert first.response.error is None and first.kind == "train"
        model, training = first.response.model, first.training
        assert model and training and model.name == "colours"
        registry = Registry.at(REGISTRY)
        assert registry.versions("colours") == [model.version]
        assert registry.version("colours", model.version).manifest.digest == model.digest
        alias = registry.aliases("colours")[CANDIDATE]
        assert (alias.target.version, alias.percent, alias.shadow) == (model.version, 0.0, False)
        assert training.candidate and training.base_scores is None
        assert "there is no stable to compare it with" in training.message

        sender.send()  # as a redelivery
        again = sender.receive()
        assert again.response.model == model and again.training == training, "it is not trained twice"
        assert registry.versions("colours") == [model.version]

        sender.send("e1", kind="evaluate", model="colours@candidate")
        evaluated = sender.receive()
        assert evaluated.kind == "evaluate" and evaluated.training and evaluated.training.images == 90

        set_alias(registry, alias.target, STABLE, name="colours")
        sender.send("r2", config=CONFIG | {"quick": True, "rate": 1e-6, "epochs": 1})
        second = sender.receive()
        assert second.training and second.response.model, second.response.error
        assert second.training.base_version == model.version
        assert second.training.base_scores == training.scores, "both are scored on the same held-out images"
        assert second.training.images == training.images
        assert not second.training.candidate and second.training.message.startswith("candidate is not set: its acc")
        assert second.training.scores.accuracy < training.scores.accuracy - 0.01
        assert len(registry.versions("colours")) == 2, "it is pushed all the same"
        assert registry.aliases("colours")[CANDIDATE].target == alias.target


def test_a_killed_training_is_done_by_the_next_worker(
    twin: Twin, images: None, weights: str, sender: Sender, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    changes = {"TRAIN_WEIGHTS": weights, "TRAIN_LEASE_S": "10"}
    with worker(tmp_path, **changes) as first:
        sender.send(model="others")
        wait_for(lambda: b"MobileNet: " in log.read_bytes())
        assert list(tmp_path.glob("retrain-*"))
        first.kill()
    wait_for(lambda: not list(tmp_path.glob("retrain-*")), 30)  # its training process has ended too
    assert Registry.at(REGISTRY).versions("others") == []
    cut_off = f"2026.01.01.0000-{sender.sent.key}"  # as an attempt leaves it that is killed while it pushes
    manifest = json.loads((ROOT / "model" / "artifacts" / NAME / "manifest.json").read_text())
    manifest |= {"name": "others", "version": cut_off}
    bucket = storage.Client(project=twin.project).bucket("models")
    bucket.blob(f"registry/others/{cut_off}/manifest.json").upload_from_string(json.dumps(manifest))
    with worker(tmp_path, "--until-idle", "30", **changes) as second:
        answer = sender.receive()
        assert answer.response.model and answer.response.delivery_attempt == 2
        assert Registry.at(REGISTRY).versions("others") == [cut_off, answer.response.model.version]
        assert answer.response.model.version.endswith(f".2-{sender.sent.key}")
        assert second.wait(60) == 0


def test_a_worker_that_is_stopped_gives_its_request_back(
    images: None, twin: Twin, sender: Sender, tmp_path: Path
) -> None:
    with worker(tmp_path) as process:
        sender.send("stopped", model="others")
        wait_for(lambda: b"90 images fetched" in (tmp_path / "log").read_bytes())
        process.terminate()
        assert process.wait(15) == 0
    assert not list(tmp_path.glob("retrain-*"))
    subscriber = pubsub_v1.SubscriberClient()
    path = subscriber.subscription_path(twin.project, "req_train-sub")
    (again,) = subscriber.pull(subscription=path, max_messages=1, timeout=20, retry=None).received_messages
    subscriber.acknowledge(subscription=path, ack_ids=[again.ack_id])
    assert again.message.attributes["request_id"] == "stopped" and again.delivery_attempt == 2


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"data": "gs://uploads/x"}, "invalid_request", "data is 'gs://uploads/x'; it must be gs://models/data or below"),
    ({"data": f"{DATA}-other"}, "invalid_request", "it must be gs://models/data or below"),
    ({"colour": "red"}, "invalid_request", "the request has the field 'colour'; allowed are kind, request_id"),
    ({"model": "unknown"}, "unknown_model", "has no model unknown"),
    ({"model": "A b"}, "invalid_request", "the model is 'A b'; it must be 1 to 63 of a-z"),
    ({"kind": "evaluate", "model": "colours@A"}, "invalid_request", "the alias is 'A'; it must be 1 to 63 of a-z"),
    ({"base": "production"}, "unknown_model", "colours in gs://models/registry has no alias production"),
    ({"kind": "evaluate", "model": "unknown"}, "unknown_model", "unknown in gs://models/registry has no alias stable"),
    ({"config": CONFIG | {"backbone": "Mobile"}}, "invalid_request", "the architecture is 'Mobile'"),
    ({"config": CONFIG | {"epochs": 0}}, "invalid_request", "epochs is 0; it must be a whole number from 1"),
    ({"data": f"{DATA}/none"}, "invalid_request", "gs://models/data/none holds no images"),
    ({"data": f"{DATA}/one"}, "invalid_request", "gs://models/data/one holds 1 folders of images"),
]


def test_a_request_that_cannot_be_done_is_answered_with_the_reason(
    images: None, sender: Sender, tmp_path: Path
) -> None:
    with worker(tmp_path, TRAIN_MODELS="colours"):
        for number, (fields, code, words) in enumerate(REFUSED):
            sender.send(f"refused-{number}", **fields)
            error = (answer := sender.receive()).response.error
            assert error and error.code == code and words in error.message, error
            assert answer.response.request_id == f"refused-{number}" and answer.training is None
        sender.publish(b"[1]", "no-object")
        error = sender.receive().response.error
        assert error and error.message.startswith("the message is '[1]'; it must be a JSON object")


def test_too_many_bytes_are_refused(images: None, sender: Sender, tmp_path: Path) -> None:
    with worker(tmp_path, TRAIN_MAX_IMAGES="20", TRAIN_MODELS="colours"):
        sender.send("large")
        error = sender.receive().response.error
        assert error and "holds more than 20 images" in error.message


def test_a_request_that_fails_becomes_a_dead_letter(images: None, sender: Sender, tmp_path: Path) -> None:
    """The training process finds no weights: each attempt fails, until Pub/Sub gives up."""
    dead = pubsub_v1.SubscriberClient()
    path = dead.subscription_path("local", "dead_predict-sub")
    with worker(tmp_path, TRAIN_WEIGHTS="/nowhere.npz", TRAIN_MODELS="colours"):
        sender.send("fails")
        deadline = time.monotonic() + 600
        while not (found := dead.pull(subscription=path, max_messages=1, timeout=120, retry=None).received_messages):
            assert time.monotonic() < deadline
    assert found[0].message.attributes["request_id"] == "fails"
    assert found[0].message.attributes["CloudPubSubDeadLetterSourceDeliveryCount"] == "5"
    assert "a training request: send it again" in DeadLetter.read(found[0].message).obstacle(datetime.now(UTC))


@pytest.mark.usefixtures("environment")
def test_the_commands_ask_the_training_worker_of_the_twin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos, registry = tmp_path / "photos", Registry.at(str(tmp_path / "registry"))
    samples = ROOT / "client" / "samples"
    for label, file in (("Sneaker", "sneaker.jpg"), ("Bag", "bag.bmp"), ("Dress", "dress.png")):
        (photos / label).mkdir(parents=True)
        (photos / label / file).write_bytes((samples / file).read_bytes())
    target = registry.push(ROOT / "model" / "artifacts" / NAME).target
    set_alias(registry, target)
    monkeypatch.setenv("REGISTRY", registry.address)
    with Twin(worker=None, retrain=str(photos)) as twin:
        command = [sys.executable, "-m", "client", "request", "evaluate", NAME, "--data", str(photos)]

        def ask(*more: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [*command, *more], env={**os.environ, **twin.env}, cwd=ROOT, capture_output=True, text=True
            )

        done = ask()
        assert done.returncode == 0, done.stderr
        assert f"{NAME} {target.version}, on 3 images" in done.stdout
        assert f"  {target.version}" in done.stdout and "is right on" in done.stdout
        refused = ask("--data", "/etc")
        assert refused.returncode == 1 and f"data is '/etc'; it must be {photos} or below it" in refused.stderr
        sent = ask("--no-wait", "--request-id", "mine")
        assert (sent.returncode, sent.stdout) == (0, "mine\n")
