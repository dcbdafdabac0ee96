"""The twin on Kafka without a broker: what cannot be, in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.local.__main__ import main


def test_a_machine_without_a_broker_is_told_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("infra.local.__main__._obey_signals", lambda: None)
    monkeypatch.setenv("SHARED", str(tmp_path))
    monkeypatch.delenv("KAFKA_BOOTSTRAP", raising=False)

    assert main(["up", "--broker", "kafka", "--worker", "none", "--log", str(tmp_path / "worker.log")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: there is no Kafka broker here: set KAFKA_BOOTSTRAP") and said.count("\n") == 1


@pytest.mark.parametrize("words", [["--worker", "push"], ["--pubsub", "google"], ["--fault-plan", "seed=1"]])
def test_options_of_pubsub_are_refused(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("infra.local.__main__._obey_signals", lambda: None)

    assert main(["up", "--broker", "kafka", *words]) == 2
    assert (
        "--broker kafka is given with --worker push or pull, --pubsub google or --fault-plan" in capsys.readouterr().err
    )
