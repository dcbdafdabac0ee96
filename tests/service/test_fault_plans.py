"""Fault plans: fields are checked by name, a seed fixes the faults, and the servers inject them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import requests
from google.cloud import storage

from infra.local.__main__ import main
from infra.local.fault_plan import FaultInjector, FaultPlan, FaultPlanError
from infra.local.storage.server import StorageServer
from infra.local.twin import Twin

ROUNDS = 60


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("errors=2", "errors is 2; it must be a share from 0 to 1"),
        ("errors=often", "errors is 'often'; it must be a number"),
        ("seed=1.5", "seed is 1.5; it must be a whole number"),
        ("burst=0", "burst is 0"),
        ("delay_s=-1", "delay_s is -1"),
        ("delay_s=.nan", "delay_s is nan"),
        ("late=true", "late is True"),
        ("luck=1", "'luck' is not a field of a fault plan; the fields are seed, duplicate"),
        ("no/such/file", "neither key=value"),
    ],
)
def test_a_plan_is_checked_by_name(text: str, words: str) -> None:
    with pytest.raises(FaultPlanError, match=words.replace("(", r"\(")):
        FaultPlan.parse(text)


def test_a_plan_is_read_from_words_or_a_file(tmp_path: Path) -> None:
    asked = FaultPlan(seed=7, errors=0.25, burst=3, slow_s=1)
    assert FaultPlan.parse("seed=7, errors=0.25,burst=3,slow_s=1") == asked
    for name, text in (("a.yaml", "seed: 7\nerrors: 0.25\nburst: 3\nslow_s: 1\n"), ("a.json", '{"seed": 7}')):
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert FaultPlan.parse(str(tmp_path / "a.yaml")) == asked
    assert FaultPlan.parse(str(tmp_path / "a.json")) == FaultPlan(seed=7)
    (tmp_path / "list.yaml").write_text("- 1\n", encoding="utf-8")
    with pytest.raises(FaultPlanError, match="a mapping of fields to values"):
        FaultPlan.parse(str(tmp_path / "list.yaml"))


def test_the_same_seed_gives_the_same_faults() -> None:
    def row(seed: int, *, disturbed: bool = False) -> list[bool]:
        faults = FaultInjector(FaultPlan(seed=seed, errors=0.5, late=0.5), "part")
        return [
            faults.happens("errors") for _ in range(ROUNDS) if not disturbed or faults.happens("late") in (True, False)
        ]

    assert row(1) == row(1) == row(1, disturbed=True)
    assert row(1) != row(2)
    assert 0 < sum(row(1)) < ROUNDS


def test_errors_come_in_bursts() -> None:
    faults = FaultInjector(FaultPlan(seed=3, errors=0.1, burst=4), "part")
    row = "".join("x" if faults.refuses() else "." for _ in range(400))
    bursts = [len(each) for each in row.strip("x").replace(".", " ").split()]
    assert bursts and all(each % 4 == 0 for each in bursts)
    assert not any(FaultInjector(FaultPlan(), "part").refuses() for _ in range(ROUNDS))


def statuses(day: FaultPlan) -> list[int]:
    """Statuses of a Storage server with a fault plan; 0: the connection was reset."""

    def get(url: str) -> int:
        try:
            return requests.get(f"{url}/storage/v1/b/uploads", timeout=5).status_code
        except requests.ConnectionError:
            return 0

    with StorageServer(names=["uploads"], fault_plan=day) as server:
        return [get(server.url) for _ in range(ROUNDS)]


def test_the_same_seed_gives_the_same_storage_faults() -> None:
    day = FaultPlan(seed=5, errors=0.2, burst=2, resets=0.2)
    first = statuses(day)
    assert set(first) == {200, 429, 503, 0}
    assert statuses(day) == first
    assert set(statuses(FaultPlan(seed=5))) == {200}


def test_some_connections_are_reset_after_the_request_took_effect() -> None:
    with StorageServer(names=["uploads"], fault_plan=FaultPlan(seed=1, resets=1)) as server:
        for number in range(ROUNDS):
            with pytest.raises(requests.ConnectionError):
                address = f"{server.url}/upload/storage/v1/b/uploads/o?uploadType=media&name={number:02}"
                requests.post(address, b"x", timeout=5)
        assert 0 < len(server.objects("uploads")) < ROUNDS


def test_reads_are_slowed_down() -> None:
    with StorageServer(names=["uploads"], fault_plan=FaultPlan(slow_reads=1, slow_s=0.3)) as server:
        began = time.monotonic()
        assert requests.get(f"{server.url}/storage/v1/b/uploads", timeout=5).json()["name"] == "uploads"
        assert time.monotonic() - began >= 0.3


def test_the_stock_client_recovers_from_a_fault_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    day = FaultPlan(seed=2, errors=0.3, burst=2)
    retry = storage.retry.DEFAULT_RETRY.with_delay(initial=0.01, maximum=0.05)
    with StorageServer(names=["uploads"], fault_plan=day) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        client = storage.Client(project="p")
        for number in range(20):
            blob = client.bucket("uploads").blob(f"{number}")
            blob.upload_from_string(b"%d" % number, retry=retry)
            blob.reload(retry=retry)
            assert blob.size == len(f"{number}")
        assert len(server.objects("uploads")) == 20
        client.close()


def test_the_command_line_takes_a_plan(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.local.__main__._obey_signals", lambda: None)
    assert main(["storage", "--fault-plan", "errors=2"]) == 1
    assert "errors is 2; it must be a share from 0 to 1" in capsys.readouterr().err
    with pytest.raises(FaultPlanError, match="Google's emulator does not support it"):
        Twin(pubsub="google", fault_plan=FaultPlan())
    assert main(["up", "--pubsub", "google", "--fault-plan", "seed=1"]) == 1
