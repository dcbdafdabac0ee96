"""`predictions dead-letters` and `predictions doctor` on a real Kafka broker."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from client.__main__ import main
from client.dead_letters.settled import Settled
from client.text import SendError
from functions.kafka.message_headers import headers_of
from tests.image_files import png
from tests.kafka_broker import KafkaTopics
from tests.kafka_topics import create

DEAD = {"dead_letter_reason": "Timeout", "CloudPubSubDeadLetterSourceDeliveryCount": "20"}


class DeadLetters:
    """The commands, with the topics of a test."""

    def __init__(self, kafka: KafkaTopics, capsys: pytest.CaptureFixture[str]) -> None:
        self.kafka, self._capsys = kafka, capsys

    def die(self, *ids: str, **attributes: str) -> None:
        """Publish dead letters."""
        headers = headers_of({**DEAD, **attributes})
        self.kafka.produce([(each.encode(), png(), headers) for each in ids], self.kafka.dead)

    def run(self, *words: str) -> tuple[int, str, str]:
        code = main(["dead-letters", *words, "--subscription", self.kafka.dead], os.environ)
        said = self._capsys.readouterr()
        return code, said.out, said.err

    def listed(self) -> list[str]:
        """The ids of the dead letters that `list` shows."""
        code, out, err = self.run("list", "--json")
        assert code == 0, err
        return sorted(json.loads(line)["request_id"] for line in out.splitlines())

    def requests(self, count: int) -> list[Any]:
        return self.kafka.read(self.kafka.requests, lambda found: len(found) >= count, extra_s=0.3)


@pytest.fixture
def dead(kafka: KafkaTopics, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> DeadLetters:
    monkeypatch.setenv("PREDICTIONS_BROKER", f"kafka://{kafka.bootstrap}")
    monkeypatch.setenv("REQUEST_TOPIC", kafka.requests)
    return DeadLetters(kafka, capsys)


def test_list_and_show_leave_the_dead_letters(dead: DeadLetters, tmp_path: Path) -> None:
    ids = [f"r{number:03d}" for number in range(120)]
    dead.die(*ids, filename="shoe.png")
    assert dead.listed() == dead.listed() == ids
    code, out, _ = dead.run("show", "r007", "--json", "--save", str(tmp_path))
    shown = json.loads(out)
    assert (code, shown["request_id"], shown["attempts"], shown["reason"]) == (0, "r007", 20, "Timeout")
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [png()]


def test_a_redrive_publishes_each_dead_letter_once(dead: DeadLetters) -> None:
    dead.die("r1", "r2", "r3", "r4", colour="red", request_id="")
    code, out, err = dead.run("redrive", "r2", "r3")
    assert (code, sorted(out.split())) == (0, ["r2", "r3", "redriven:", "redriven:"]), err
    assert dead.listed() == ["r1", "r4"]
    assert dead.run("redrive", "r2")[0] == 1, "a dead letter is redriven twice"
    assert dead.run("redrive")[0] == 0
    assert dead.listed() == [] and "0 redriven" in dead.run("redrive")[2]
    messages = dead.requests(4)
    assert sorted(message.key() for message in messages) == [b"r1", b"r2", b"r3", b"r4"]
    names = {name for message in messages for name, _ in message.headers()}
    assert names == {"colour", "request_id", "redriven"}
    dead.die("r5", redriven="3")
    code, out, _ = dead.run("redrive")
    assert code == 1 and "left: r5: redriven 3 times already" in out and dead.listed() == ["r5"]


def test_what_the_topic_refuses_stays_a_dead_letter(dead: DeadLetters) -> None:
    small = f"{dead.kafka.requests}-small"
    create(dead.kafka.bootstrap, small, **{"max.message.bytes": "200000"})
    dead.die("fits")
    dead.kafka.produce([(b"large", png() + bytes(300_000), headers_of(DEAD))], dead.kafka.dead)
    code, out, _ = dead.run("redrive", "--topic", small)
    assert code == 1 and set(out.splitlines()) == {"redriven: fits", "left: large: the broker refuses it"}
    assert dead.listed() == ["large"]


def test_a_purge_removes_dead_letters_from_the_topic(dead: DeadLetters) -> None:
    dead.die("r1", "r2", "r3")
    code, _, err = dead.run("purge", "--yes")
    assert code == 0 and "3 dead letters purged" in err
    assert dead.listed() == []
    assert not dead.kafka.read(dead.kafka.dead, len, timeout_s=1.0), "the payloads are still in the topic"
    dead.die("r4")
    assert dead.listed() == ["r4"]


def test_settled_offsets_survive_as_text() -> None:
    made = Settled(10)
    for first, end in ((15, 16), (12, 14), (16, 17), (14, 15), (30, 31)):
        made.add(first, end)
    assert (made.low, made.text) == (10, "2-6,20-20")
    read = Settled(made.low, made.text)
    assert [offset for offset in range(35) if offset not in read] == [10, 11, *range(17, 30), *range(31, 35)]
    read.add(10, 12)
    assert (read.low, read.text) == (17, "13-13")
    assert Settled(3, "written by another program").text == ""
    for offset in range(100, 4000, 2):
        made.add(offset, offset + 1)
    with pytest.raises(SendError, match="purge the oldest first"):
        _ = made.text


def visit(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[dict[str, str]]]:
    code = main(["doctor", "--json", *words], os.environ)
    return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_the_doctor_names_what_is_wrong_and_its_fix(kafka: KafkaTopics, capsys: pytest.CaptureFixture[str]) -> None:
    words, prefix = (
        ["--broker", f"kafka://{kafka.bootstrap}", "--prefix", f"d{kafka.suffix[:8]}"],
        f"d{kafka.suffix[:8]}-",
    )
    kept = {"retention.ms": "604800000"}
    create(kafka.bootstrap, *(f"{prefix}{name}" for name in ("req_predict-retry", "req_train")), **kept)
    create(kafka.bootstrap, f"{prefix}dead_predict", **kept | {"max.message.bytes": "1000"})
    create(kafka.bootstrap, f"{prefix}res_predict", **{"retention.ms": "3600000"})
    create(kafka.bootstrap, f"{prefix}req_predict", **kept)
    code, findings = visit(capsys, *words)
    found = {each["subject"]: (each["level"], each["message"]) for each in findings}
    assert code == 1 and found["broker"][0] == "ok" and "1 broker, cluster " in found["broker"][1]
    assert found[f"topic {prefix}req_predict"] == ("ok", "4 partitions, 1 replica, keeps messages for 604800s")
    assert found[f"topic {prefix}compare_predict"] == ("fail", "does not exist")
    assert found[f"topic {prefix}res_predict"] == ("warn", "keeps messages for 3600s, not 604800s")
    assert found[f"group {prefix}req_predict-worker"] == (
        "warn",
        "no worker has read a request yet; those of a share group are not seen",
    )
    fixes = {each["subject"]: each["fix"] for each in findings}
    server = f"--bootstrap-server {kafka.bootstrap}"
    assert fixes[f"topic {prefix}compare_predict"].startswith(
        f"kafka-topics.sh {server} --create --topic {prefix}compare_predict"
    )
    alter = f"kafka-configs.sh {server} --alter --entity-type topics --entity-name"
    assert fixes[f"topic {prefix}res_predict"] == f"{alter} {prefix}res_predict --add-config retention.ms=604800000"
    assert (
        fixes[f"topic {prefix}dead_predict"] == f"{alter} {prefix}dead_predict --add-config max.message.bytes=11000000"
    )
    read_requests(kafka.bootstrap, f"{prefix}req_predict", f"{prefix}req_predict-worker", 2)
    group = {each["subject"]: each for each in visit(capsys, *words)[1]}[f"group {prefix}req_predict-worker"]
    assert (group["level"], group["message"]) == ("fail", "no worker is running, 1 request waits")
    code, [finding] = visit(capsys, "--broker", "kafka://127.0.0.1:1")
    assert code == 1 and finding["message"].startswith("no Kafka broker at 127.0.0.1:1 answered")


def read_requests(bootstrap: str, topic: str, group: str, count: int) -> None:
    """Publish one message more than `count` to one partition, and commit `count` for a group."""
    from confluent_kafka import Consumer, Producer, TopicPartition

    producer = Producer({"bootstrap.servers": bootstrap})
    for _ in range(count + 1):
        producer.produce(topic, b"x", "key", partition=0)
    assert producer.flush(10) == 0
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group})
    consumer.commit(offsets=[TopicPartition(topic, 0, count)], asynchronous=False)
    consumer.close()
