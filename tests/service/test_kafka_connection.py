"""Properties of Kafka's clients: what is refused, and with which sentence."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from functions.kafka.cluster_check import BrokerUnreachable, check_cluster
from functions.kafka.connection import KafkaConfigError, properties
from infra.local.ports import free_port
from tests.conftest import require
from tests.kafka_worker import COMMAND
from tests.silent_server import SilentServer


@pytest.fixture(autouse=True)
def installed() -> None:
    require("confluent_kafka")


@pytest.mark.parametrize("bootstrap", ["", "host", "host:0", "host:99999", "host:9092,", "kafka://host:9092", "a b:1"])
def test_brokers_that_are_no_addresses_are_refused(bootstrap: str) -> None:
    with pytest.raises(KafkaConfigError, match="it must be host:port, several separated by commas"):
        properties(bootstrap)


def test_a_file_sets_properties(tmp_path: Path) -> None:
    file = tmp_path / "client.properties"
    file.write_text("# TLS\n\nsecurity.protocol = SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\nsasl.username=u\n")
    with file.open("a") as more:
        more.write("sasl.password=a=b#c\nclient.id=mine\n")
    made = properties("one:9092, [::1]:9093", str(file))
    assert made["bootstrap.servers"] == "one:9092,[::1]:9093"
    assert (made["sasl.password"], made["client.id"], made["sasl.mechanism"]) == ("a=b#c", "mine", "SCRAM-SHA-512")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hush-hush", "line 1 of"),
        ("client.id=a\nsasl.password hush-hush", "line 2 of"),
        ("acks=1", "sets acks, which this program sets itself"),
        ("client.id=a\nclient.id=hush-hush", "sets client.id a second time"),
        ("no.such.property=hush-hush", "no.such.property"),
        ("security.protocol=hush-hush", "security.protocol"),
        ("ssl.key.pem=hush-hush\nsecurity.protocol=ssl", "ssl.key.pem"),
    ],
)
def test_a_wrong_file_is_refused_without_its_values(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "client.properties"
    file.write_text(text)
    with pytest.raises(KafkaConfigError) as failure:
        properties("host:9092", str(file))
    assert said in str(failure.value) and "hush-hush" not in str(failure.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(KafkaConfigError, match=r"it must be a file of text: No such file"):
        properties("host:9092", str(tmp_path / "absent"))


def test_a_broker_that_never_answers_is_unreachable() -> None:
    """A server that accepts connections and says nothing: another program, or a broker that hangs."""
    with SilentServer() as server:
        began = time.monotonic()
        with pytest.raises(BrokerUnreachable, match=f"no Kafka broker at {server.host} answered within 1 s"):
            check_cluster(properties(server.host), {"req_predict": ()}, 1.0)
        assert time.monotonic() - began < 10


@pytest.mark.timing
def test_a_worker_without_a_broker_says_so_within_ten_seconds(root: Path) -> None:
    env = {**os.environ, "KAFKA_BOOTSTRAP": f"127.0.0.1:{free_port()}", "GOOGLE_CLOUD_PROJECT": ""}
    began = time.monotonic()
    done = subprocess.run(COMMAND, cwd=root, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert time.monotonic() - began < 10
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "cannot start now: no Kafka broker at 127.0.0.1:" in done.stderr and "Connection refused" in done.stderr


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"KAFKA_BOOTSTRAP": "kafka://broker"}, "the Kafka broker is 'kafka://broker'; it must be host:port"),
        ({"KAFKA_OAUTH": "azure"}, "KAFKA_OAUTH is 'azure'; it must be google"),
        ({"KAFKA_GROUP": "share", "KAFKA_TRANSACTIONS": "on"}, "are part of no transaction"),
        ({"KAFKA_CONFIG": "/no/such/file"}, "KAFKA_CONFIG is '/no/such/file'; it must be a file of text"),
        ({"KAFKA_BOOTSTRAP": ""}, "or KAFKA_BOOTSTRAP is set"),
    ],
)
def test_a_worker_with_wrong_settings_says_which(root: Path, settings: dict[str, str], said: str) -> None:
    env = {**os.environ, "KAFKA_BOOTSTRAP": "127.0.0.1:9", "GOOGLE_CLOUD_PROJECT": "", **settings}
    done = subprocess.run(COMMAND, cwd=root, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr


def test_without_the_package_one_sentence_tells_how_to_get_it(root: Path) -> None:
    code = (
        "import sys\nsys.modules['confluent_kafka'] = None\n"
        "import functions.main, functions.entrypoints.pull_worker, functions.entrypoints.kafka_worker as worker\n"
        "sys.exit(worker.main())"
    )
    env = {"KAFKA_BOOTSTRAP": "127.0.0.1:9"}
    done = subprocess.run([sys.executable, "-c", code], cwd=root, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "cannot start: Kafka needs the package confluent-kafka: pip install confluent-kafka" in done.stderr


def test_the_other_workers_do_not_import_kafka(root: Path) -> None:
    code = (
        "import sys, functions.main, functions.entrypoints.pull_worker\n"
        "found = [name for name in sys.modules if 'kafka' in name]\n"
        "sys.exit(str(found) if found else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
