"""The twin's own Kafka broker is started again when its storage refuses the random id of its cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.local.child import ChildFailed
from infra.local.kafka import KafkaBroker

PROGRAM = """
import pathlib, sys, time
tries = pathlib.Path(__file__).with_name("tries")
with tries.open("a") as file:
    file.write("x")
if len(tries.read_text()) <= {refused}:
    sys.exit("storage could not be formatted")
print("bootstrap=127.0.0.1:1", flush=True)
time.sleep(60)
"""
"""Takes the place of a real broker, which fails so once in 64 starts."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHARED", str(tmp_path))
    (tmp_path / "kafka").mkdir()
    return tmp_path


def refusing(folder: Path, refused: int) -> KafkaBroker:
    """A broker whose first starts fail."""
    (folder / "kafka" / "broker").write_text(PROGRAM.format(refused=refused))
    return KafkaBroker(folder / "data")


def test_a_refused_cluster_id_is_replaced(folder: Path) -> None:
    broker = refusing(folder, 2)
    try:
        broker.start()
    finally:
        broker.stop()
    assert (folder / "kafka" / "tries").read_text() == "xxx"


def test_a_broker_that_never_starts_is_named(folder: Path) -> None:
    with pytest.raises(ChildFailed, match="the Kafka broker ended with code 1: storage could not be formatted"):
        refusing(folder, 9).start()
    assert (folder / "kafka" / "tries").read_text() == "xxx"


def test_a_broker_with_a_storage_is_not_started_again(folder: Path) -> None:
    broker = refusing(folder, 1)
    (folder / "data" / "log").mkdir(parents=True)
    (folder / "data" / "log" / "meta.properties").touch()
    with pytest.raises(ChildFailed):
        broker.start()
    assert (folder / "kafka" / "tries").read_text() == "x"
