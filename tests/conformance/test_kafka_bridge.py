"""`predictions bridge` between the twin's Pub/Sub and a real Kafka broker."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator

import pytest
from google.cloud import pubsub_v1

from client.__main__ import main
from functions.kafka.message_headers import envelope_of
from functions.messages.request_decoder import decode
from tests.brokers import Cloud
from tests.image_files import png
from tests.kafka_broker import KafkaTopics
from tests.kafka_topics import create
from tests.waiting import nothing, pull


@pytest.fixture
def pubsub(embedded: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """A project of its own on the twin's server."""
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", embedded)
    publisher, subscriber = pubsub_v1.PublisherClient(), pubsub_v1.SubscriberClient()
    yield Cloud("embedded", embedded, f"p-{uuid.uuid4().hex[:12]}", publisher, subscriber)
    publisher.stop()
    publisher.transport.close()
    subscriber.close()


def words(kafka: KafkaTopics, pubsub: Cloud, *more: str, back: bool = False) -> list[str]:
    """The words of a bridge from Pub/Sub to Kafka, or `back`."""
    ends = ["pubsub", f"kafka://{kafka.bootstrap}"]
    source, target = reversed(ends) if back else ends
    names = ["--project", pubsub.project, "--topic", kafka.requests, "--response-topic", kafka.responses]
    return ["bridge", "--from", source, "--to", target, *names, *more]


def test_requests_and_responses_keep_their_ids(
    kafka: KafkaTopics, pubsub: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    requests = pubsub.topic(kafka.requests)
    subscription = pubsub.subscription(requests, f"{kafka.requests}-sub")
    ids = [pubsub.publisher.publish(requests, png(), colour="red", request_id=f"r{n}").result(10) for n in range(450)]
    bare = pubsub.publisher.publish(requests, png()).result(10)
    assert len(ids) == 450 and main(words(kafka, pubsub, "--requests", "--idle", "6"), os.environ) == 0
    assert "451 requests moved" in capsys.readouterr().err
    assert nothing(pubsub, subscription), "a moved message is still there"
    moved = kafka.read(kafka.requests, lambda found: len(found) >= 451, extra_s=0.3)
    found = [decode(envelope_of(message)).request_id for message in moved]
    assert sorted(found) == sorted([*(f"r{n}" for n in range(450)), bare])
    headers = next(dict(message.headers()) for message in moved if message.key() == b"r7")
    assert headers == {"colour": b"red", "request_id": b"r7", "bridged": f"pubsub:{pubsub.project}".encode()}

    main(words(kafka, pubsub, "--requests", "--idle", "6", back=True), os.environ)
    assert "0 requests moved, 451 left out because they came from there" in capsys.readouterr().err

    answers = pubsub.subscription(pubsub.topic(kafka.responses), "answers")
    kafka.produce([(b"r1", b"{}", [("request_id", b"r1"), ("reply_to", b"c")])], kafka.responses)
    for count in (1, 0):
        main(words(kafka, pubsub, "--responses", "--idle", "6", back=True), os.environ)
        assert f"{count} responses moved" in capsys.readouterr().err
    [message] = pull(pubsub, answers, 1)
    assert message.message.attributes["request_id"] == "r1" and message.message.attributes["reply_to"] == "c"


def test_what_the_target_refuses_is_not_lost(
    kafka: KafkaTopics, pubsub: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    small = f"{kafka.requests}-small"
    create(kafka.bootstrap, small, **{"max.message.bytes": "200000"})
    topic = pubsub.topic(small)
    subscription = pubsub.subscription(topic, f"{small}-sub")
    pubsub.publisher.publish(topic, bytes(300_000), request_id="large").result(10)
    named = [*words(kafka, pubsub, "--requests", "--idle", "6"), "--topic", small]
    assert main(named, os.environ) == 1
    err = capsys.readouterr().err
    assert "(request large): it could not be published: it is larger than the topic" in err and "--skip-refused" in err
    assert len(pull(pubsub, subscription, 1)) == 1
    main([*named, "--skip-refused"], os.environ)


def test_a_killed_bridge_loses_nothing(kafka: KafkaTopics, pubsub: Cloud) -> None:
    requests = pubsub.topic(kafka.requests)
    pubsub.subscription(requests, f"{kafka.requests}-sub", ack_deadline_seconds=10)
    count = 3000
    sent = [pubsub.publisher.publish(requests, png(), request_id=f"r{n}") for n in range(count)]
    assert all(each.result(20) for each in sent)
    # What a killed bridge had received comes again when its lease ends: after minutes, and here before the idle time.
    code = (
        "import sys, client.bridge.pubsub as ends\n"
        "from client.__main__ import main\n"
        "ends._LEASE_S = 10\n"
        "sys.exit(main())\n"
    )
    command = [sys.executable, "-c", code, *words(kafka, pubsub, "--requests", "--idle", "13")]
    for moved in (1, 400, 800):
        process = subprocess.Popen(command)
        assert len(kafka.read(kafka.requests, lambda found, least=moved: len(found) >= least)) >= moved
        process.kill()
        process.wait()
    assert subprocess.run(command, timeout=120, check=False).returncode == 0
    found = kafka.read(kafka.requests, lambda found: len({each.key() for each in found}) >= count)
    assert {message.key() for message in found} == {b"r%d" % n for n in range(count)}
