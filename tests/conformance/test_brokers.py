"""One suite over Pub/Sub (embedded, and Google's emulator) and Kafka: the client's commands and a worker process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.local import worker as workers
from infra.local.child import Child
from infra.local.google import NoEmulator
from infra.local.kafka import NoKafka
from infra.local.kafka_topics import attempts
from infra.local.topology import Topology
from infra.local.twin import Twin
from tests.conftest import absent
from tests.service.job_commands import copies
from tests.waiting import until

TOPOLOGY = Topology.read().with_retry(0.1, 0.2, 5)

IMAGES = 300
"""Images of the run in which the worker is killed: some are answered before, some are in its hands, some wait."""

SOON = "session.timeout.ms=6000\nheartbeat.interval.ms=1000\n"
"""The least that the broker allows: after so long the partitions of a worker that was killed go to others."""

BROKERS: Mapping[str, dict[str, Any]] = {
    "embedded": {"pubsub": "embedded"},
    "google": {"pubsub": "google"},
    "kafka": {"broker": "kafka"},
}


@dataclass
class System:
    """A broker with the topology, and one worker process."""

    name: str
    twin: Twin
    folder: Path
    root: Path
    worker: Child | None = None

    def start_worker(self) -> None:
        env, log = {**self.twin.env, "PULL_MAX_MESSAGES": "32"}, self.folder / "worker.log"
        if self.name == "kafka":
            (config := self.folder / "kafka.properties").write_text(SOON)
            env |= attempts(TOPOLOGY) | {"KAFKA_CONFIG": str(config)}
        self.worker = (workers.start_kafka if self.name == "kafka" else workers.start_pull)(env, log)
        workers.wait_pull(self.worker)

    def stop_worker(self) -> None:
        if self.worker:
            self.worker.stop()

    def start(self, *words: str, **settings: str) -> subprocess.Popen[str]:
        """Start one of the client's commands, with its own job store."""
        env = {**os.environ, **self.twin.env, "PYTHONPATH": str(self.root), **settings}
        env["PREDICTIONS_STATE"] = str(self.folder / "jobs.db")
        command = [sys.executable, "-m", "client", *words]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self.folder, env=env, stdout=pipe, stderr=pipe, text=True)

    def lines(self, *words: str, code: int = 0, **settings: str) -> list[dict[str, Any]]:
        """What a command prints with --json; it must end with `code`."""
        with self.start(*words, "--json", **settings) as process:
            out, err = process.communicate(timeout=240)
        assert process.returncode == code, err
        return [json.loads(line) for line in out.splitlines()]

    def outcomes(self) -> list[tuple[str, str]]:
        """What the worker's log says of each request, with its id."""
        lines = (self.folder / "worker.log").read_text().splitlines()
        said = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return [(str(each.get("outcome")), str(each.get("request_id"))) for each in said]

    def put(self, name: str, data: bytes) -> str:
        """Store an object in the payloads bucket; returns its address."""
        from google.cloud import storage

        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("STORAGE_EMULATOR_HOST", self.twin.storage_url)
            with storage.Client(project=self.twin.project) as client:
                client.bucket("payloads").blob(name).upload_from_string(data, "image/jpeg")
        return f"gs://payloads/{name}"


@pytest.fixture(scope="module", params=BROKERS)
def system(request: pytest.FixtureRequest, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Each broker in turn, with one worker."""
    name, folder = str(request.param), tmp_path_factory.mktemp("brokers")
    try:
        with Twin(TOPOLOGY, worker=None, log_path=folder / "twin.log", **BROKERS[name]) as twin:
            made = System(name, twin, folder, root)
            made.start_worker()
            yield made
            made.stop_worker()
    except (NoEmulator, NoKafka) as exc:
        absent(str(exc))


@pytest.fixture(scope="module")
def labels(samples_folder: Path) -> dict[str, str]:
    """What the sample images are, by the names of their files."""
    lines = (samples_folder / "labels.csv").read_text().splitlines()[1:]
    return dict(line.split(",")[:2] for line in lines)


@pytest.fixture(scope="module")
def samples_folder(root: Path) -> Path:
    return root / "client" / "samples"


def found(lines: list[dict[str, Any]]) -> dict[str, str]:
    """The best label, or the code of the error, by the names of the files."""
    assert len({line["request_id"] for line in lines}) == len(lines)
    return {Path(line["file"]).name: best(line["response"]) for line in lines}


def best(response: Mapping[str, Any]) -> str:
    """The best label of a response, or the code of its error."""
    return str(response["error"]["code"] if response["error"] else response["predictions"][0]["label"])


def test_each_image_is_answered_with_its_label(system: System, samples_folder: Path, labels: dict[str, str]) -> None:
    answers = found(system.lines("publish", str(samples_folder)))

    assert answers == labels


@pytest.mark.parametrize("responses", ["each", "batch"])
def test_images_that_share_a_message_have_the_same_answers(
    system: System, responses: str, samples_folder: Path, labels: dict[str, str]
) -> None:
    answers = found(system.lines("publish", str(samples_folder), "--gather", "4", "--responses", responses))

    assert answers == labels


def test_an_image_of_a_bucket_is_answered(system: System, samples_folder: Path) -> None:
    address = system.put("sneaker.jpg", (samples_folder / "sneaker.jpg").read_bytes())

    assert found(system.lines("publish", address)) == {"sneaker.jpg": "Sneaker"}


def test_a_large_image_travels_through_the_bucket(system: System, samples_folder: Path) -> None:
    before = set(system.twin.storage.objects("payloads"))

    answers = system.lines("publish", str(samples_folder / "sneaker.jpg"), INLINE_LIMIT="100")

    assert found(answers) == {"sneaker.jpg": "Sneaker"}
    assert len(set(system.twin.storage.objects("payloads")) - before) == 1


def test_a_bad_image_has_an_error(system: System, tmp_path: Path, samples_folder: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    (tmp_path / "good.jpg").write_bytes((samples_folder / "sneaker.jpg").read_bytes())

    answers = found(system.lines("publish", str(tmp_path), code=1))

    assert answers == {"bad.jpg": "invalid_image", "good.jpg": "Sneaker"}


def test_a_repeated_request_has_the_same_answer(system: System, tmp_path: Path, samples_folder: Path) -> None:
    table = tmp_path / "images.csv"
    table.write_text(f"file,id\n{samples_folder / 'sneaker.jpg'},repeated-{system.name}\n")
    words = ("publish", "--from", str(table), "--id-column", "id")

    first, second = (system.lines(*words) for _ in range(2))

    assert len(first) == 1 and first[0]["request_id"] == second[0]["request_id"] == f"repeated-{system.name}"
    assert first[0]["response"]["predictions"] == second[0]["response"]["predictions"]


def test_a_dead_letter_is_announced_and_redriven(system: System, samples_folder: Path) -> None:
    address = system.put("doomed.jpg", (samples_folder / "sneaker.jpg").read_bytes())
    system.twin.storage.fail(503, 1_000_000, "doomed.jpg")

    [announced] = system.lines("publish", address, "--timeout", "120", code=1)
    assert best(announced["response"]) == "unavailable"
    [dead] = system.lines("dead-letters", "list")
    assert dead["request_id"] == announced["request_id"]

    system.twin.storage.fail(503, 0)
    assert [line["request_id"] for line in system.lines("dead-letters", "redrive")] == [dead["request_id"]]
    assert until(lambda: ("ok", dead["request_id"]) in system.outcomes(), 60)
    assert system.lines("dead-letters", "list") == []


# Not on Google's emulator, which keeps giving messages to the stream of a killed worker (docs/faults.md).
@pytest.mark.parametrize("system", ["embedded", "kafka"], indirect=True)
def test_a_killed_worker_loses_no_request(system: System, samples_folder: Path, tmp_path: Path) -> None:
    photos = copies(samples_folder, tmp_path / "photos", IMAGES)
    assert system.worker
    with system.start("publish", str(photos), "--json", "--timeout", "180") as process:
        assert process.stdout and process.stderr
        lines = [process.stdout.readline() for _ in range(20)]  # while it is at work
        system.worker.kill()
        system.worker.stop()
        system.start_worker()
        lines += process.stdout  # not communicate, which would lose what is read ahead
        said = process.stderr.read()
    answers = list(map(json.loads, lines))

    assert process.returncode == 0, said
    assert len({line["request_id"] for line in answers}) == len(answers) == IMAGES
    assert not any(line["response"]["error"] for line in answers)
