"""The figures of the last minutes: each row once, and drift by the same measure as the command report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from client.report.drift import drift_of
from client.report.summary import summarize
from client.results.record import Record
from client.web.live import Live
from client.web.references import References
from model.artifact.load import Artifact, read_artifact
from model.drift import compare, read_reference
from model.labels import Prediction
from model.registry.registry import Registry

FOLDER = Path(__file__).resolve().parents[2] / "model" / "artifacts" / "fashion-mnist"


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    return read_artifact(FOLDER)


def answered(number: int, artifact: Artifact, label: str = "Bag", **changed: object) -> Record:
    score = 0.5 + number % 50 / 100
    made = Record(
        file=f"{number}.png", request_id=str(number), status="ok", label=label, score=score,
        predictions=(Prediction(label, score),), client_ms=float(number), total_ms=1.0, model_name=artifact.name,
        model_version=artifact.version, model_digest=artifact.digest, completed_at="2026-01-01T00:00:00Z",
    )  # fmt: skip
    return replace(made, **changed)  # type: ignore[arg-type]


REFUSED = Record(file="x", request_id="x", status="error", error_code="invalid_image", client_ms=1.0)


def test_the_figures_are_those_of_the_report_for_the_same_rows(artifact: Artifact) -> None:
    labels = ["Bag"] * 7 + ["Coat", "Dress"]
    records = [answered(number, artifact, labels[number % 9]) for number in range(300)]
    live = Live(References())
    for number, record in enumerate([*records, REFUSED]):
        live.take("job", number, record)
    found, report, reference = live.figures(), summarize([*records, REFUSED]), read_reference(FOLDER)
    assert (found["outcomes"], found["labels"], found["errors"]) == (report.statuses, report.labels, report.errors)
    assert found["latency"] == report.percentiles
    assert (found["throughput"][-1], found["refused"][-1]) == (301, 1)
    [drift], made = found["drift"], drift_of([*records, REFUSED], artifact.digest, reference)
    assert (drift["labels"], drift["scores"], drift["reasons"]) == (made.drift.labels, made.drift.scores, made.reasons)
    assert drift["labels"] > drift["limit"] == 0.25 and any("Bag is" in each for each in drift["reasons"])
    assert drift["accuracy"] == [made.accuracy.value, made.accuracy.low, made.accuracy.high]
    whole = compare(reference, [Prediction(each.label, each.score or 0) for each in records])
    assert [step for step in drift["steps"] if step is not None] == [max(whole.labels, whole.scores)]


def test_a_row_that_goes_again_counts_by_its_last_response(artifact: Artifact) -> None:
    live, waiting = Live(References()), Record(file="1.png", status="missing", problem="no answer yet")
    failed = replace(REFUSED, error_code="unavailable")
    for record in (failed, failed):
        live.take("job", 1, record)
    assert live.figures()["errors"] == {"unavailable": 1}
    live.take("job", 1, waiting)
    assert live.figures()["outcomes"] == {}
    live.take("job", 1, answered(1, artifact))
    live.take("job", 2, answered(2, artifact))
    assert live.figures()["outcomes"] == {"ok": 2} and sum(live.figures()["throughput"]) == 2


def test_a_model_without_a_reference_says_what_to_set(artifact: Artifact, tmp_path: Path) -> None:
    live = Live(References())
    live.take("job", 1, answered(1, artifact, model_digest="sha256:" + "0" * 64, model_name="mine"))
    live.take("job", 2, answered(2, artifact, label="Ship"))
    sentences = {each["model"].split()[0]: each["problem"] for each in live.figures()["drift"]}
    assert "set ARTIFACT to the folder of its artifact, or REGISTRY to the registry" in sentences["mine"]
    assert "drift cannot be measured: label is 'Ship'; it must be one of: T-shirt/top" in sentences[artifact.name]
    missing = References(artifact=str(tmp_path / "none")).find("a", "1", artifact.digest)
    assert isinstance(missing, str) and "manifest.json" in missing


def test_references_are_found_in_a_registry(artifact: Artifact, tmp_path: Path) -> None:
    registry = Registry.at(str(tmp_path))
    registry.push(FOLDER)
    references, reference = References(registry=str(tmp_path)), read_reference(FOLDER)
    assert references.find(artifact.name, artifact.version, artifact.digest) == reference
    for name, version, digest in (
        (artifact.name, "9", "sha256:9"), ("other", "1", "sha256:8"), (artifact.name, artifact.version, "sha256:7"),
    ):  # fmt: skip
        assert "is not known: set ARTIFACT" in str(references.find(name, version, digest))
