"""Kafka with TLS, passwords and rights, on a real broker: what is documented suffices, what is missing is named."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from client.__main__ import main
from functions.kafka.message_headers import headers_of
from tests.certificate import write_certificate
from tests.conftest import ROOT
from tests.kafka_broker import KafkaTopics
from tests.kafka_worker import config_file, ended_worker, kafka_worker
from tests.samples import encoded
from tests.secure_kafka import Right, SecureKafka, secure_broker

IMAGE = encoded()
RIGHT = re.compile(r"(topic|group|transactional id)(?:s that begin with)? `([^`]+)`")
DEAD = {"dead_letter_reason": "Timeout", "CloudPubSubDeadLetterSourceDeliveryCount": "20"}
WORKERS = {"offsets": {}, "transactions": {"KAFKA_TRANSACTIONS": "on"}, "share": {"KAFKA_GROUP": "share"}}
KINDS = {"topic": "TOPIC", "group": "GROUP", "transactional id": "TRANSACTIONAL_ID"}
"""Kafka's names of what the table of rights has."""


def documented(who: str, topics: KafkaTopics) -> list[Right]:
    """The rights of a line of docs/kafka.md, for the topics of a test."""
    page = (ROOT / "docs" / "kafka.md").read_text()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("|")]
    found: list[Right] = []
    for _, operations, names in (row for row in rows if row[0] == who):
        for kind, name in RIGHT.findall(names):
            renamed = name.replace("req_predict", topics.requests).replace("res_predict", topics.responses)
            renamed = renamed.replace("dead_predict", topics.dead)
            is_prefix = f"s that begin with `{name}`" in names
            for operation in re.findall("`(.+?)`", operations):
                kafkas = re.sub("(?<=[a-z])(?=[A-Z])", "_", operation).upper()
                found.append(Right(kafkas, KINDS[kind], renamed, is_prefix))
    assert found, f"docs/kafka.md has no rights of {who}"
    return found


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    with secure_broker(tmp_path_factory.mktemp("secure")) as made:
        yield made


@pytest.fixture
def topics(secure: SecureKafka) -> KafkaTopics:
    made = KafkaTopics(secure.bootstrap, properties=secure.admin_properties())
    made.create()
    return made


def worker_rights(kind: str, topics: KafkaTopics) -> list[Right]:
    """What a worker of a kind needs, as documented."""
    common = documented("the worker", topics)
    if kind == "share":  # has neither the delay topic nor the usual group
        common = [each for each in common if each.name not in (f"{topics.requests}-retry", f"{topics.requests}-worker")]
        return common + documented("in a share group", topics)
    return common + (documented("in transactions", topics) if kind == "transactions" else [])


def file_of(folder: Path, properties: Mapping[str, str]) -> dict[str, str]:
    """The variable that names a file with these properties."""
    return config_file(folder, "".join(f"{name}={value}\n" for name, value in properties.items()))


def failed_start(env: Mapping[str, str], properties: Mapping[str, str]) -> str:
    """What a worker logs that ends by itself, without a password."""
    said = ended_worker(env)
    assert properties["sasl.password"] not in said
    return said


@pytest.mark.parametrize("kind", WORKERS)
def test_the_documented_rights_suffice_for_a_worker(
    secure: SecureKafka, topics: KafkaTopics, tmp_path: Path, kind: str
) -> None:
    user = secure.new_user(worker_rights(kind, topics))
    with kafka_worker(tmp_path / "log", {**topics.env, **file_of(tmp_path, user), **WORKERS[kind]}) as worker:
        topics.send({"good": IMAGE})
        topics.produce([(None, IMAGE, [])])
        assert [each.status for each in topics.answers({"good"})] == ["ok"]
        assert len(topics.dead_letters(1)) == 1
        worker.stop()
        assert user["sasl.password"] not in worker.text and '"ERROR"' not in worker.text, worker.text


@pytest.mark.parametrize(
    ("kind", "missing", "said"),
    [
        ("offsets", "READ TOPIC {0}-retry", "grant Read on the topic {0}-retry"),
        ("offsets", "WRITE TOPIC {0}-retry", "grant Write on the topic {0}-retry"),
        ("offsets", "WRITE TOPIC {1}", "show no topic {1}: create it, or grant the right to describe it"),
        ("offsets", "READ GROUP {0}-worker", "grant Read on the group {0}-worker to this user"),
        ("transactions", "WRITE TRANSACTIONAL_ID {0}-", "grant Write on the transactional ids that begin with {0}-"),
        ("share", "READ GROUP {0}-share", "grant Read on the group {0}-share to this user"),
        ("share", "ALTER_CONFIGS GROUP {0}-share", "the right AlterConfigs on the group"),
    ],
)
def test_a_worker_names_the_right_that_is_missing(
    secure: SecureKafka, topics: KafkaTopics, tmp_path: Path, kind: str, missing: str, said: str
) -> None:
    names = topics.requests, topics.responses
    rights = worker_rights(kind, topics)
    kept = [each for each in rights if f"{each.operation} {each.kind} {each.name}" != missing.format(*names)]
    assert len(kept) == len(rights) - 1
    user = secure.new_user(kept)
    log = failed_start({**topics.env, **file_of(tmp_path, user), **WORKERS[kind]}, user)
    assert said.format(*names) in log, log


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sasl.password": "another"}, "invalid credentials"),
        ({"sasl.mechanism": "SCRAM-SHA-256"}, "broker's supported mechanisms: PLAIN,SCRAM-SHA-512"),
        (
            {"security.protocol": "SASL_PLAINTEXT"},
            "security.protocol, here SASL_PLAINTEXT, is not that of the listener",
        ),
        ({"ssl.ca.location": "other.pem"}, "certificate verify failed"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_worker_that_is_refused_says_why(
    secure: SecureKafka, topics: KafkaTopics, tmp_path: Path, change: dict[str, str], said: str
) -> None:
    write_certificate(tmp_path / "other.pem")
    user = {**secure.new_user(worker_rights("offsets", topics)), **change}
    if change.get("ssl.ca.location"):
        user["ssl.ca.location"] = str(tmp_path / "other.pem")
    log = failed_start({**topics.env, **file_of(tmp_path, user)}, user)
    assert f"cannot start now: no Kafka broker at {secure.bootstrap} answered" in log and said in log, log


@pytest.fixture
def as_user(
    secure: SecureKafka, topics: KafkaTopics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[list[Right]], None]:
    """Has the client's commands connect as a new user with these rights."""
    monkeypatch.setenv("PREDICTIONS_BROKER", f"kafka://{secure.bootstrap}")
    monkeypatch.setenv("REQUEST_TOPIC", topics.requests)
    monkeypatch.setenv("RESPONSE_TOPIC", topics.responses)
    monkeypatch.setenv("PREDICTIONS_STATE", str(tmp_path / "jobs.db"))
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)

    def connect(rights: list[Right]) -> None:
        for name, value in file_of(tmp_path, secure.new_user(rights)).items():
            monkeypatch.setenv(name, value)

    return connect


def test_the_documented_rights_suffice_for_the_client(
    secure: SecureKafka,
    topics: KafkaTopics,
    as_user: Callable[[list[Right]], None],
    samples: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "worker").mkdir()
    env = {**topics.env, **file_of(tmp_path / "worker", secure.admin_properties())}
    with kafka_worker(tmp_path / "worker" / "log", env):
        as_user(documented("the client", topics))
        assert main(["publish", str(samples)], os.environ) == 0
        said = capsys.readouterr().err
        assert "10 of 10 answered" in said and "could not be deleted" not in said, said
    as_user(documented("`collect`", topics))
    assert main(["collect", "--output", str(tmp_path / "all.jsonl"), "--until-idle", "6"], os.environ) == 0
    assert len((tmp_path / "all.jsonl").read_text().splitlines()) == 10
    topics.produce([(b"dead", IMAGE, headers_of(DEAD))], topics.dead)
    as_user(documented("`dead-letters`", topics))
    assert main(["dead-letters", "redrive", "--subscription", topics.dead], os.environ) == 0
    assert "dead" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("WRITE TOPIC {0}", "show no topic {0}: create it, or grant the right to describe it"),
        ("READ TOPIC {1}", "show no topic {1}: create it, or grant the right to describe it"),
        ("READ GROUP {1}-", "the responses cannot be read: your user may not use the group {1}-"),
    ],
)
def test_the_client_names_the_right_that_is_missing(
    topics: KafkaTopics,
    as_user: Callable[[list[Right]], None],
    samples: Path,
    capsys: pytest.CaptureFixture[str],
    missing: str,
    said: str,
) -> None:
    names = topics.requests, topics.responses
    rights = documented("the client", topics)
    as_user([each for each in rights if f"{each.operation} {each.kind} {each.name}" != missing.format(*names)])
    assert main(["publish", str(samples)], os.environ) == 1
    assert said.format(*names) in capsys.readouterr().err


def test_a_user_who_may_read_the_request_topic_alone_sends_nothing(
    topics: KafkaTopics, as_user: Callable[[list[Right]], None], samples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rights = [each for each in documented("the client", topics) if each.operation != "WRITE"]
    as_user([*rights, Right("READ", "TOPIC", topics.requests)])
    assert main(["publish", str(samples)], os.environ) == 1
    assert f"grant Write on the topic {topics.requests}" in capsys.readouterr().err
