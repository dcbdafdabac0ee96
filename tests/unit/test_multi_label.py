"""A multi-label model from its scores to the client: scores stay independent, and an image may have several labels."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from client.__main__ import main
from client.cli.watch import line
from client.gcp import UsageError
from client.images import ImageFile
from client.report.comparison import compare, correctness
from client.report.evaluation import evaluate
from client.report.summary import least_certain, summarize
from client.report.truth import read_truth
from client.results.output import rows
from client.results.record import Record, from_row, restored, to_cells
from client.results.request_tracker import Outcome
from client.results.result_files import open_writer, read_records
from functions.messages.contract import (
    Envelope,
    Model,
    Response,
    Source,
    decode_response,
    encode_response,
)
from functions.observability.request_log import RequestLog
from model.drift import read_reference
from model.engines.base import MULTILABEL_PROBABILITIES, Images, Scores
from model.errors import ArtifactError
from model.labels import Prediction
from model.predictor import MAX_ASSIGNED
from model.training.export.benchmark import compare as compare_scores
from model.training.export.selection import faithfulness
from tests import earlier_contract
from tests.fakes import SIGNATURE, BrightnessEngine, fake_handler, respond
from tests.http_worker import http_client, serving

SEVERAL = replace(SIGNATURE, outputs=MULTILABEL_PROBABILITIES, threshold=0.3)


class Fixed(BrightnessEngine):
    """An engine that gives every image these scores."""

    def __init__(self, *scores: float, threshold: float = 0.3) -> None:
        super().__init__()
        self._row = np.array(scores, np.float32)
        labels = tuple(f"label {n}" for n in range(len(scores)))
        self.signature = replace(SEVERAL, labels=labels, threshold=threshold)

    def score(self, images: Images, /) -> Scores:
        return np.repeat(self._row[None], len(images), axis=0)


def image() -> bytes:
    """An image file."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "gray").save(file, "PNG")
    return file.getvalue()


def response_of(engine: BrightnessEngine, top_k: int = 5) -> Response:
    """The response to an image that the engine scores."""
    return respond(fake_handler(engine=engine), Envelope("r1", image(), {"top_k": str(top_k)}))


@pytest.mark.parametrize(
    ("scores", "threshold", "labels"),
    [
        ((0.9, 0.1, 0.8), 0.3, ("label 0", "label 2")),
        ((0.8, 0.1, 0.9), 0.3, ("label 2", "label 0")),
        ((0.29994, 0.3, 0.29996), 0.3, ("label 1", "label 2")),  # scores count as they are shown, with four decimals
        ((0.9, 0.1, 0.8), 0.85, ("label 0",)),
        ((0.2, 0.1, 0.1), 0.3, ()),
    ],
)
def test_a_response_holds_the_labels_from_the_threshold_on(
    scores: tuple[float, ...], threshold: float, labels: tuple[str, ...]
) -> None:
    response = response_of(Fixed(*scores, threshold=threshold), top_k=1)
    assert response.labels == labels
    assert [each.score for each in response.predictions] == [round(max(scores), 4)], (
        "top_k limits the predictions alone"
    )
    body = json.loads(encode_response(response))
    assert (body["schema_version"], body["multi_label"], body["labels"]) == (1, True, [*labels])


@pytest.mark.parametrize(
    ("labels", "logged"), [(("cat", "dog"), ("cat", 0.9)), ((), (None, None)), (None, ("cat", 0.9))]
)
def test_a_log_line_has_the_labels_of_the_image(
    labels: tuple[str, ...] | None, logged: tuple[str | None, float | None], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        RequestLog().answered(replace(GOOD, labels=labels))
    [line] = [vars(each) for each in caplog.records]
    assert (line["label"], line["score"], line["labels"]) == (*logged, labels)


def test_other_models_have_one_label() -> None:
    response = response_of(BrightnessEngine())
    body = json.loads(encode_response(response))
    assert (response.labels, body["multi_label"], body["labels"]) == (None, False, [])


@pytest.mark.parametrize(("scores", "text"), [((0.8, 0.1, 0.9), "label 2\nlabel 0\n"), ((0.2, 0.1, 0.1), "\n")])
def test_the_http_endpoint_returns_the_bare_labels(
    scores: tuple[float, ...], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(fake_handler(engine=Fixed(*scores)), monkeypatch):
        reply = http_client().post("/predict", data=image(), headers={"Accept": "text/plain"})
    assert (reply.status_code, reply.get_data(as_text=True)) == (200, text)


def test_the_labels_of_a_response_are_limited() -> None:
    labels = response_of(Fixed(*[0.9] * (MAX_ASSIGNED + 7))).labels
    assert labels is not None and len(labels) == MAX_ASSIGNED


GOOD = Response(
    "r1",
    (Prediction("cat", 0.9), Prediction("dog", 0.8), Prediction("eel", 0.1)),
    model=Model("m", "1", "sha256:" + "0" * 64, "litert"),
    source=Source("a.png"),
    completed_at="2026-11-21T09:30:00.000Z",
    labels=("cat", "dog"),
)
NONE = replace(GOOD, request_id="r2", source=Source("b.png"), labels=())
ONE = replace(GOOD, request_id="r3", source=Source("c.png"), labels=None)


@pytest.mark.parametrize("response", [GOOD, NONE, ONE])
def test_a_response_is_decoded_unchanged(response: Response) -> None:
    assert decode_response(encode_response(response)) == response


@pytest.mark.parametrize("response", [GOOD, NONE, ONE])
def test_a_client_of_an_earlier_release_reads_a_response(response: Response) -> None:
    assert earlier_contract.decode_response(encode_response(response)) == replace(response, labels=None)


def test_a_response_of_an_earlier_worker_is_read() -> None:
    body = json.loads(encode_response(ONE))
    del body["multi_label"], body["labels"]
    assert decode_response(json.dumps(body).encode()) == ONE
    stored: dict[str, Any] = body | {"multi_label": None, "labels": []}  # as BigQuery returns it
    assert decode_response(json.dumps(stored).encode()) == ONE


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labels": [7]}, "labels is a whole number; it must be text"),
        ({"labels": "cat"}, "labels is text; it must be a list"),
        ({"multi_label": 1}, "multi_label is a whole number; it must be true or false"),
        ({"multi_label": False}, "labels holds 'cat'; without multi_label it must be empty"),
    ],
)
def test_wrong_labels_are_named(change: dict[str, Any], words: str) -> None:
    body = json.loads(encode_response(GOOD)) | change
    with pytest.raises(ValueError, match=words):
        decode_response(json.dumps(body).encode())


def record(response: Response) -> Record:
    return Record.of_response(response)


def test_the_table_has_a_row_for_each_label() -> None:
    found = rows(record(GOOD))
    assert [row[:3] for row in found] == [("a.png", "cat", "0.9000"), ("", "dog", "0.8000")]
    assert [row[:3] for row in rows(record(NONE))] == [("b.png", "no label", "")]
    assert [row[:3] for row in rows(record(ONE))] == [("c.png", "cat", "0.9000")]
    beyond = replace(GOOD, predictions=GOOD.predictions[:1])
    assert [row[1:3] for row in rows(record(beyond))] == [("cat", "0.9000"), ("dog", "")]
    assert [row[1] for row in rows(record(GOOD), all_labels=True)] == ["cat", "dog", "eel"]


def test_a_watched_response_shows_its_labels() -> None:
    assert line(GOOD).endswith("a.png  cat 0.9000, dog 0.8000")
    assert line(NONE).endswith("b.png  no label")
    assert line(ONE).endswith("c.png  cat 0.9000")


def unexpected(text: str) -> None:
    raise AssertionError(text)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.sqlite", "a.parquet"])
def test_results_files_keep_the_labels(name: str, tmp_path: Path) -> None:
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow", reason="pip install pyarrow")
    written = [record(each) for each in (GOOD, NONE, ONE)]
    writer = open_writer(tmp_path / name, unexpected)
    for each in written:
        writer.write(each)
    writer.close()
    assert list(read_records(tmp_path / name, unexpected)) == written


def test_rows_are_converted_both_ways() -> None:
    for each in (GOOD, NONE, ONE):
        assert from_row(to_cells(record(each))) == restored(record(each).to_row()) == record(each)
    before = {name: value for name, value in record(ONE).to_row().items() if name != "labels"}
    assert restored(before) == record(ONE), "a row of a job from before the column"
    for wrong in ("cat", "{}", '["cat", 7]', "[", 7):
        with pytest.raises(ValueError, match=r"labels is '.*'; it must be a JSON list of labels, or empty"):
            from_row(to_cells(record(GOOD)) | {"labels": wrong})


def test_label_studio_gets_every_label(tmp_path: Path) -> None:
    path = tmp_path / "a.labelstudio.json"
    writer = open_writer(path, unexpected)
    for each in (GOOD, NONE):
        writer.write(record(each))
    writer.close()
    results = [task["predictions"][0]["result"] for task in json.loads(path.read_bytes())]
    assert sorted(each[0]["value"]["choices"] for each in results if each) == [["cat", "dog"]]
    assert [] in results, "no label is no choice"


def test_a_report_counts_an_image_for_each_of_its_labels(tmp_path: Path) -> None:
    found = summarize([record(each) for each in (GOOD, NONE, replace(GOOD, request_id="r4", labels=("dog",)))])
    assert found.labels == {"dog": 2, "cat": 1}
    assert found.by_date == {"2026-11-21": {"cat": (1, 0.9), "dog": (2, 0.8)}}
    assert least_certain(found, 5) == [], "the best score says nothing about the others"
    writer = open_writer(tmp_path / "a.csv", unexpected)
    for each in found.records:
        writer.write(each)
    writer.close()
    assert main(["report", str(tmp_path / "a.csv"), "--out", str(tmp_path / "a.html")], {}) == 0
    page = (tmp_path / "a.html").read_text()
    assert "The model is multi-label: an image counts for each label that it has." in page
    assert "2 (66.7%)" in page and "<b>2</b><span>with a label</span>" in page and "Least certain" not in page


def test_runs_are_compared_by_all_labels() -> None:
    reordered = replace(GOOD, labels=("dog", "cat"))
    more = replace(GOOD, labels=("dog", "cat", "eel"))
    assert compare([record(GOOD)], [record(reordered)]).is_equal
    changed = compare([record(GOOD)], [record(more)])
    assert changed.transitions == [("cat, dog", "cat, dog, eel", 1)]
    assert compare([record(NONE)], [record(replace(NONE, labels=("cat",)))]).transitions == [("no label", "cat", 1)]


def measured_by_evaluate(records: Sequence[Record], truth: Path) -> None:
    evaluate(records, read_truth(truth))


def measured_by_compare(records: Sequence[Record], truth: Path) -> None:
    correctness(compare(records, records), read_truth(truth))


@pytest.mark.parametrize("measure", [measured_by_evaluate, measured_by_compare])
def test_accuracy_is_not_measured(measure: Callable[[Sequence[Record], Path], None], tmp_path: Path) -> None:
    (tmp_path / "truth.csv").write_text("file,label\na.png,cat\n")
    with pytest.raises(UsageError, match="m is multi-label; accuracy is measured only for models whose labels exclude"):
        measure([record(GOOD)], tmp_path / "truth.csv")


def test_drift_is_not_measured(tmp_path: Path) -> None:
    (tmp_path / "signature.json").write_text('{"multi_label": true}')
    with pytest.raises(
        ArtifactError, match="is of a multi-label model; drift is measured only for labels that exclude"
    ):
        read_reference(tmp_path)


def test_variants_agree_when_all_labels_are_equal() -> None:
    reference = np.array([[0.9, 0.6], [0.9, 0.6]], np.float32)
    scores = np.array([[0.9, 0.4], [0.6, 0.9]], np.float32)
    assert faithfulness(scores, reference, None, 0.5) == (0.5, None)
    assert compare_scores(scores, reference, 0.5).disagreement == 0.5
    assert compare_scores(scores, reference).disagreement == 0.5
    assert faithfulness(scores[:1], reference[:1], None)[0] == 1.0, "the best label alone is equal"


def test_an_outcome_has_the_labels() -> None:
    outcome = Outcome(ImageFile(Path("a.png"), "a.png"), "r1", GOOD)
    assert Record.of_outcome(outcome).labels == ("cat", "dog")
