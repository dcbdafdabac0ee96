"""The command evaluate: labels from folders and lists, the metrics, and what is not measured."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from client.__main__ import main
from client.report.evaluation import MISTAKES, evaluate
from client.report.truth import read_truth
from client.results.record import Record
from client.results.result_files import open_writer


def ok(file: Path | str, label: str, request_id: str = "", model: str = "m") -> Record:
    made: dict[str, Any] = {"model_name": model, "model_digest": f"sha256:{model}", "score": 0.5}
    return Record(file=str(file), request_id=request_id or f"r-{file}", status="ok", label=label, **made)


def refused(file: Path | str, code: str) -> Record:
    return Record(file=str(file), request_id=f"r-{file}", status="error", error_code=code, error_message="no")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("cat/1.png", "cat/2.png", "cat/deep/3.png", "dog/1.png", "dog/2.png", "top.png"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return tmp_path / "photos"


def results(folder: Path, *records: Record) -> str:
    path = folder.parent / "run.jsonl"
    writer = open_writer(path, lambda text: None)
    for record in records:
        writer.write(record)
    writer.close()
    return str(path)


def test_figures_are_those_of_the_confusion_matrix(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = results(
        folder,
        ok(folder / "cat/1.png", "cat"),
        ok(folder / "cat/2.png", "dog"),
        ok(folder / "cat/deep/3.png", "cat"),
        ok("dog/1.png", "dog"),  # as a worker names it
        refused(folder / "dog/2.png", "invalid_image"),
        ok("elsewhere/x.png", "cat"),
    )
    assert main(["evaluate", run, "--labels", str(folder), "--json"], {}) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert found["confusion"] == {"labels": ["cat", "dog"], "counts": [[2, 1], [0, 1]]}
    assert found["accuracy"] == 0.75 and found["skipped"] == {"invalid_image": 1} and found["unlabelled"] == 1
    wrong = {"file": str(folder / "cat/2.png"), "label": "cat", "predicted": "dog", "score": 0.5}
    assert found["mistakes"] == [wrong]
    assert found["classes"]["dog"] == {"images": 1, "answers": 2, "precision": 0.5, "recall": 1.0, "f1": 2 / 3}
    assert "1 rows have no label" in said.err


def test_the_mistakes_are_those_with_the_highest_scores(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,label\n" + "".join(f"{n}.png,cat\n" for n in range(60)))
    rows = [replace(ok(f"{n}.png", "cat" if n % 2 else "dog"), score=(n * 7 % 60) / 60) for n in range(60)]
    found = evaluate(rows, read_truth(tmp_path / "labels.csv")).mistakes
    scores = sorted(((row.score or 0.0) for row in rows if row.label == "dog"), reverse=True)
    assert [each.record.score for each in found] == scores[:MISTAKES] and len(scores) > MISTAKES
    assert {(each.label, each.record.label) for each in found} == {("cat", "dog")}


@pytest.mark.parametrize("code", ["unavailable", "expired", "unknown_model"])
def test_an_error_that_is_not_about_the_image_is_not_skipped(
    code: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ("cat/1.png", "cat/2.png", "cat/deep/3.png", "dog/1.png")
    run = results(folder, *(ok(folder / file, "cat") for file in files), refused(folder / "dog/2.png", code))
    assert main(["evaluate", run, "--labels", str(folder)], {}) == 1
    said = capsys.readouterr()
    assert "1 labelled images have no predictions and are not measured" in said.err
    assert "dog is never predicted; is it a label of the model?" in said.err
    assert said.out.startswith("m: 75.00% of 4 images")


def test_a_list_labels_files_next_to_it_and_with_a_mark_of_windows(folder: Path) -> None:
    listed = folder / "labels.csv"
    listed.write_bytes(b"\xef\xbb\xbffile,label\r\ncat/1.png,cat\r\nnew.png, dog \r\n")
    truth = read_truth(listed)
    assert truth.file_of(ok(folder / "cat/1.png", "")) == str(folder / "cat/1.png")
    assert truth.labels[truth.file_of(ok("new.png", "")) or ""] == "dog"
    assert truth.file_of(ok("other/new.png", "")) is None and truth.file_of(ok("a\0b", "")) is None


def test_a_file_that_exists_is_not_another_of_the_same_name(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.png").write_bytes(b"another image")
    monkeypatch.chdir(tmp_path)
    assert read_truth(folder).file_of(ok("cat/1.png", "")) is None
    assert read_truth(folder).file_of(ok("photos/cat/1.png", "")) == str(folder / "cat/1.png")


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ([ok("cat/1.png", "cat", "a"), ok("cat/1.png", "dog", "b")], "has several rows with predictions"),
        ([ok("cat/1.png", "cat"), ok("cat/2.png", "cat", model="n")], "of several models (m sha256:m, n sha256:n)"),
        ([ok("x.png", "cat")], "none of the 5 labelled files has predictions"),
    ],
)
def test_what_would_be_measured_wrongly_is_refused(
    records: list[Record], said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", results(folder, *records), "--labels", str(folder)], {}) == 2
    assert said in capsys.readouterr().err


def test_labels_of_the_artifact_are_the_only_ones(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder.parent / "labels.txt").write_text("cat\nnewt\n")
    run = results(folder, ok("cat/1.png", "cat"), ok("dog/1.png", "cat"))
    words = ["evaluate", run, "--labels", str(folder), "--artifact", str(folder.parent)]
    assert main(words, {}) == 2
    assert "dog is not a label of the model; they are cat, newt" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"file,class\na,b\n", "lacks the columns file,label"),
        (b"file,label\na.png,\n", "line 2 lacks a file or a label"),
        (b"file,label\na.png,cat\na.png,dog\n", "the labels cat and dog"),
        (b"file,label\n", "labels no image"),
        (b"file,label\n\xff,cat\n", "not UTF-8"),
    ],
)
def test_a_wrong_list_is_refused(content: bytes, said: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = folder / "labels.csv"
    listed.write_bytes(content)
    run = results(folder, ok("cat/1.png", "cat"))
    assert main(["evaluate", run, "--labels", str(listed)], {}) == 2
    assert said in capsys.readouterr().err
