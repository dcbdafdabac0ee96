"""The client's commands over Kafka, on a real broker: images, jobs, responses, and what goes wrong."""

from __future__ import annotations

import csv
import http.server
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from client import Predictions, PredictionsError
from client.__main__ import main
from client.transport import kafka_responses
from client.transport.kafka_positions import Positions
from functions.kafka.message_headers import headers_of
from functions.messages.contract import Error, Response, encode_response, response_attributes
from tests.image_files import png
from tests.kafka_broker import KafkaTopics
from tests.kafka_responder import answering
from tests.kafka_topics import create
from tests.kafka_worker import kafka_worker
from tests.waiting import until


@dataclass(frozen=True, slots=True)
class Commands:
    """Runs the client's commands with the topics of a test."""

    kafka: KafkaTopics
    capsys: pytest.CaptureFixture[str]

    def run(self, *words: str) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        code = main(words, os.environ)
        said = self.capsys.readouterr()
        return code, said.out, said.err

    def rows(self, *words: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.run(*words, "--json")[1].splitlines()]

    def groups(self) -> set[str]:
        """The consumer groups of the test's response topic."""
        from confluent_kafka.admin import AdminClient

        admin = AdminClient({"bootstrap.servers": self.kafka.bootstrap})
        found = admin.list_consumer_groups().result(10).valid
        return {each.group_id for each in found if each.group_id.startswith(self.kafka.responses)}


@pytest.fixture
def cli(
    kafka: KafkaTopics, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Commands:
    monkeypatch.setenv("PREDICTIONS_BROKER", f"kafka://{kafka.bootstrap}")
    monkeypatch.setenv("REQUEST_TOPIC", kafka.requests)
    monkeypatch.setenv("RESPONSE_TOPIC", kafka.responses)
    monkeypatch.setenv("PREDICTIONS_STATE", str(tmp_path / "jobs.db"))
    monkeypatch.delenv("PUBSUB_EMULATOR_HOST", raising=False)
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)
    return Commands(kafka, capsys)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.png").write_bytes(png())
    return folder


def requested(kafka: KafkaTopics, count: int) -> list[Any]:
    """The messages on the request topic, once there are so many."""
    return kafka.read(kafka.requests, lambda messages: len(messages) >= count)


def respond(kafka: KafkaTopics, *ids: str, reply_to: str = "c", **config: Any) -> None:
    """Publish responses."""
    made = [Response(each, error=Error("invalid_image", "a sentence"), reply_to=reply_to) for each in ids]
    kafka.produce(
        [(r.request_id.encode(), encode_response(r), headers_of(response_attributes(r))) for r in made],
        kafka.responses,
    )


@pytest.mark.parametrize("gather", [[], ["--gather", "auto"], ["--gather", "3", "--responses", "batch"]], ids=len)
def test_images_are_published_and_answered(cli: Commands, samples: Path, tmp_path: Path, gather: list[str]) -> None:
    respond(cli.kafka, "from before")
    with kafka_worker(tmp_path / "worker.log", cli.kafka.env) as worker:
        code, out, err = cli.run("publish", str(samples), *gather)
        worker.stop()
    assert code == 0 and "10 of 10 answered" in err and "Sneaker" in out, err
    messages = cli.kafka.read(cli.kafka.requests, len, extra_s=0.5)
    headers = [dict(message.headers()) for message in messages]
    assert [message.key() for message in messages] == [each["request_id"] for each in headers]
    assert len({each["reply_to"] for each in headers}) == 1
    assert until(lambda: not cli.groups()), "the group of the job stays behind"


def test_a_job_is_submitted_and_waited_for_without_naming_the_broker(
    cli: Commands, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, job, err = cli.run("submit", str(photos))
    assert code == 0 and "5 of 5 sent" in err, err
    job = job.strip()
    assert until(lambda: len(cli.groups()) == 1), "nothing keeps where the job's responses begin"
    monkeypatch.delenv("PREDICTIONS_BROKER")
    found = cli.rows("status", job)[0]
    assert (found["state"], found["sent"], found["answered"]) == ("waiting", 5, 0)
    assert found["to"] == f"kafka://{cli.kafka.bootstrap}/{cli.kafka.requests}"
    with answering(cli.kafka):
        code, out, err = cli.run("wait", job, "--timeout", "20")
    assert code == 0 and out.count("Bag") == 5, err
    assert until(lambda: not cli.groups())


def test_a_run_that_was_killed_is_resumed(cli: Commands, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import os\nfrom client.transport.topic import TopicTransport\nsend = TopicTransport.send\n"
        "def limited(self, image):\n    sent = send(self, image)\n"
        "    if image.name == '2.png':\n        os.kill(os.getpid(), 9)\n    return sent\n"
        "TopicTransport.send, TopicTransport.threads = limited, 1\n"
        f"from client.__main__ import main\nmain(['publish', {str(photos)!r}])\n"
    )
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)
    assert killed.returncode == -9, killed.stderr
    with answering(cli.kafka):
        assert until(lambda: len(cli.kafka.read(cli.kafka.responses, lambda found: len(found) >= 3)) == 3)
        monkeypatch.delenv("PREDICTIONS_BROKER")
        code_, out, err = cli.run("publish", "--resume", "last")
    assert code_ == 0 and "5 of 5 answered" in err and out.count("Bag") == 5, err
    messages = cli.kafka.read(cli.kafka.requests, lambda found: len(found) >= 5, extra_s=1.0)
    ids = [message.key() for message in messages]
    assert len(set(ids)) == 5 and len(ids) <= 6, "at most the unconfirmed image is sent again, under its id"


def test_frames_of_a_video_keep_to_one_partition(cli: Commands) -> None:
    from client.gcp import Cloud
    from client.transport.broker import broker_of

    cloud = Cloud("", cli.kafka.requests, broker=os.environ["PREDICTIONS_BROKER"])
    publisher = broker_of(cloud).publisher(ordered=True)
    for number in range(20):
        publisher.publish(b"frame", {"request_id": str(number)}, "film.mp4").result(10)
    publisher.close()
    messages = requested(cli.kafka, 20)
    assert len({message.partition() for message in messages}) == 1
    assert [message.key() for message in messages] == [b"%d" % number for number in range(20)]


def test_watch_shows_what_arrives_and_nothing_that_was_aborted(cli: Commands) -> None:
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": cli.kafka.bootstrap, "transactional.id": cli.kafka.suffix})
    producer.init_transactions(10)
    ended = threading.Event()

    def publish() -> None:
        while not ended.wait(0.2):
            producer.begin_transaction()
            aborted = Response("aborted", error=Error("invalid_image", "never"))
            producer.produce(cli.kafka.responses, encode_response(aborted), "aborted")
            producer.flush(10)
            producer.abort_transaction(10)
            respond(cli.kafka, "kept")

    thread = threading.Thread(target=publish)
    thread.start()
    rows = cli.rows("watch", "--limit", "3")
    ended.set()
    thread.join()
    assert [each["request_id"] for each in rows] == ["kept"] * 3


def test_responses_on_a_new_partition_are_received(cli: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    from confluent_kafka import Producer
    from confluent_kafka.admin import AdminClient, NewPartitions

    monkeypatch.setattr(kafka_responses, "GROWTH_S", 0.2)
    producer = Producer({"bootstrap.servers": cli.kafka.bootstrap, "topic.metadata.refresh.interval.ms": 200})

    def grow() -> None:
        assert has_begun.wait(30)
        admin = AdminClient({"bootstrap.servers": cli.kafka.bootstrap})
        [grown] = admin.create_partitions([NewPartitions(cli.kafka.responses, 6)]).values()
        grown.result(10)
        text = encode_response(Response("there", error=Error("invalid_image", "a sentence")))
        while producer.list_topics(cli.kafka.responses, 10).topics[cli.kafka.responses].partitions.get(5) is None:
            time.sleep(0.05)
        producer.produce(cli.kafka.responses, text, "there", partition=5)
        producer.flush(10)

    begin, has_begun = Positions.begin, threading.Event()

    def begins(positions: Positions, **how: bool) -> bool:
        is_new: bool = begin(positions, **how)
        has_begun.set()
        return is_new

    monkeypatch.setattr(Positions, "begin", begins)
    watching = threading.Thread(target=grow)
    watching.start()
    assert [each["request_id"] for each in cli.rows("watch", "--limit", "1")] == ["there"]
    watching.join()


def test_collect_goes_on_where_it_was(cli: Commands, tmp_path: Path) -> None:
    respond(cli.kafka, *(f"r{number}" for number in range(30)))
    group, file = f"{cli.kafka.responses}-collectors", tmp_path / "all.csv"
    words = ["collect", "--group", group, "--output", str(file), "--until-idle", "6"]
    code, _, err = cli.run(*words)
    assert code == 0 and "30 responses collected" in err
    respond(cli.kafka, "new")
    assert "1 responses collected" in cli.run(*words)[2]
    ids = {f"r{number}" for number in range(30)} | {"new"}
    assert sorted(answered(file)) == sorted(ids)
    respond(cli.kafka, *(unwritten := [f"u{number}" for number in range(30)]))
    limited = tmp_path / "limited.csv"
    command = f"ulimit -f 2; exec {sys.executable} -m client collect --group {group} --output {limited}"
    assert subprocess.run(["sh", "-c", command], timeout=60, check=False).returncode == 1
    assert 0 < len(answered(limited)) < 30
    assert cli.run(*words)[0] == 0
    assert {*answered(limited), *answered(file)} == ids | {*unwritten}, "a response that was not written is committed"


def answered(file: Path) -> list[str]:
    """The request ids in a results file."""
    with file.open() as rows:
        return [row["request_id"] for row in csv.DictReader(rows)]


def test_the_python_api_sends_over_kafka(cli: Commands, photos: Path) -> None:
    with answering(cli.kafka), Predictions(broker=os.environ["PREDICTIONS_BROKER"]) as p:
        assert [each.label for each in p.predict(photos)] == ["Bag"] * 5
        assert p.submit(photos).wait().complete
    with pytest.raises(ValueError, match="'rabbit://h' is no broker; it must be pubsub, or kafka://"):
        Predictions(broker="rabbit://h")
    with pytest.raises(PredictionsError, match="no Kafka broker at"), Predictions(broker="kafka://127.0.0.1:1"):
        pass


@pytest.fixture
def http_server() -> Iterator[int]:
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_what_is_no_broker_is_named_within_ten_seconds(cli: Commands, photos: Path, http_server: int) -> None:
    for address, problem in {
        "kafka://127.0.0.1:1": r"no Kafka broker at 127\.0\.0\.1:1 answered within",
        f"kafka://127.0.0.1:{http_server}": rf"no Kafka broker at 127\.0\.0\.1:{http_server} answered within",
    }.items():
        began = time.monotonic()
        code, _, err = cli.run("publish", str(photos), "--broker", address)
        assert code == 1 and re.search(problem, err), err
        assert time.monotonic() - began < 10
    for address in ("kafka://", "kafka://host", "rabbit://h:1", "kafka://u:p@h:1", "kafka://h:1/topic"):
        code, _, err = cli.run("publish", str(photos), "--broker", address)
        assert code == 2 and "is no broker; it must be pubsub, or kafka://HOST:PORT" in err, err


def test_a_missing_topic_and_a_large_image_are_named(cli: Commands, photos: Path, tmp_path: Path) -> None:
    code, _, err = cli.run("publish", str(photos), "--topic", "missing-topic")
    assert code == 1 and "no topic missing-topic" in err and len(err.splitlines()) == 1
    small = f"{cli.kafka.requests}-small"
    create(cli.kafka.bootstrap, small, **{"max.message.bytes": "200000"})
    (tmp_path / "large.png").write_bytes(png() + bytes(300_000))
    images = [str(tmp_path / "large.png"), str(photos / "0.png")]
    code, out, _ = cli.run("publish", *images, "--topic", small, "--timeout", "1")
    assert code == 1 and re.search(r"large\.png +it could not be published: it is larger than the topic", out), out
    assert [dict(m.headers())["filename"] for m in cli.kafka.read(small, len)] == [b"0.png"]


def test_commands_that_need_pubsub_say_so(cli: Commands, photos: Path) -> None:
    for words in (["upload", str(photos), "--bucket", "b"], ["web"], ["request", "evaluate", "m", "--data", "d"]):
        code, _, err = cli.run(*words)
        assert code == 2 and "it needs Pub/Sub, and the broker is kafka://" in err


def test_nothing_imports_the_library_without_a_kafka_address(root: Path) -> None:
    code = (
        "import sys\nsys.modules['confluent_kafka'] = None\nfrom client.__main__ import main\n"
        "import client.api.connection, client.jobs.responses, client.watching.connection, client.bridge.ends\n"
        "sys.exit(main(['watch', '--broker', 'kafka://127.0.0.1:1']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr == "predictions watch: Kafka needs the package confluent-kafka: pip install confluent-kafka\n"
