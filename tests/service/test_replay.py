"""The commands that publish images which they find themselves: evaluate and replay; and the rows of jobs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from client.results.record import Record
from client.results.result_files import open_writer, read_records
from infra.local.twin import Delivery, Twin
from tests.service.cli_harness import CommandLine

LABELS = {"ankle-boot.webp": "Ankle boot", "bag.bmp": "Bag", "coat.tif": "Coat", "sneaker.jpg": "Sneaker"}


@pytest.fixture
def twin(shared_twin: Callable[[Delivery], Twin]) -> Twin:
    return shared_twin("push")


@pytest.fixture
def labelled(samples: Path, tmp_path: Path) -> Path:
    """A folder with a folder for each label; one of its five images is damaged."""
    for name, label in LABELS.items():
        (tmp_path / "photos" / label).mkdir(parents=True)
        (tmp_path / "photos" / label / name).write_bytes((samples / name).read_bytes())
    (tmp_path / "photos" / "Bag" / "broken.png").write_bytes(b"no image")
    return tmp_path / "photos"


def rewritten(source: Path, target: Path, **changed: str) -> None:
    """Write the rows of a results file to another one, with changed columns."""
    writer = open_writer(target, print)
    for record in read_records(source, print):
        writer.write(Record(**{name: getattr(record, name) for name in record.__slots__} | changed))
    writer.close()


def test_labelled_images_are_published_and_measured(cli: CommandLine, labelled: Path, tmp_path: Path) -> None:
    run = tmp_path / "run.csv"
    code, out, err = cli.run("evaluate", str(labelled), "--output", str(run), "--json")
    assert code == 0, err
    assert "4 of 5 answered, 1 with an error" in err and "skipped 1 images with the error invalid_image" in err
    sent = json.loads(out)
    assert sent["images"] == 4 and sent["accuracy"] == 1.0 and sent["skipped"] == {"invalid_image": 1}
    for results in (str(run), "job:last"):
        code, out, _ = cli.run("evaluate", results, "--labels", str(labelled), "--json")
        assert code == 0 and json.loads(out) == sent


def test_missing_responses_are_not_measured(cli: CommandLine, labelled: Path) -> None:
    words = ["--topic", cli.topic("void-evaluate"), "--timeout", "3"]
    code, _, err = cli.run("evaluate", str(labelled), *words)
    assert code == 2 and "none of the 5 labelled files has predictions in the results" in err
    cli.cancel_last()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--labels", "x", "--topic", "t"], "--topic: nothing is sent with --labels"),
        (["more"], "give one folder or CSV file of labelled images, or results with --labels"),
    ],
)
def test_arguments_without_a_meaning_are_refused(cli: CommandLine, labelled: Path, words: list[str], why: str) -> None:
    code, out, err = cli.run("evaluate", str(labelled), *words)
    assert (code, out) == (2, "") and why in err


def test_a_replay_compares_with_the_earlier_predictions(cli: CommandLine, labelled: Path, tmp_path: Path) -> None:
    run = tmp_path / "run.csv"
    assert cli.run("publish", str(labelled), "--output", str(run))[0] == 1
    code, out, err = cli.run("replay", str(run), "--json")
    assert code == 0, "one image has an error, as before"
    assert "4 of 5 answered" in err and json.loads(out)["labels"]["equal_share"] == 1.0
    other = tmp_path / "other.csv"
    rewritten(run, other, label="Dress")
    code, out, _ = cli.run("replay", str(other))
    assert code == 1 and "0.00% equal labels: 0 of 4" in out
    assert "Bag" in cli.run("results", "find", "bag.bmp")[1]


def test_a_replay_of_a_time_range_sends_only_its_images(cli: CommandLine, labelled: Path, tmp_path: Path) -> None:
    run = tmp_path / "run.csv"
    assert cli.run("publish", str(labelled / "Bag" / "bag.bmp"), "--output", str(run))[0] == 0
    code, out, err = cli.run("replay", str(run), "--until", "2020-01-01")
    assert (code, out) == (2, "") and "no row of the results names an image that was answered in this time" in err
    code, out, _ = cli.run("replay", "job:last", "--since", "1h")
    assert code == 0 and "100.00% equal labels: 1 of 1" in out


def test_an_image_that_is_gone_is_named(cli: CommandLine, labelled: Path, tmp_path: Path) -> None:
    run = tmp_path / "run.csv"
    assert cli.run("publish", str(labelled / "Bag" / "bag.bmp"), str(labelled / "Coat"), "--output", str(run))[0] == 0
    (labelled / "Bag" / "bag.bmp").unlink()
    code, out, err = cli.run("replay", str(run))
    assert code == 1 and "bag.bmp" in err and "1 only in A" in out


def test_rows_of_jobs_are_found_by_request_and_by_name(cli: CommandLine, labelled: Path) -> None:
    assert cli.run("publish", str(labelled / "Bag" / "bag.bmp"))[0] == 0
    code, out, _ = cli.run("results", "find", "bag.bmp", "--json")
    [newest, *_] = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and newest["label"] == "Bag"
    code, out, _ = cli.run("results", "find", newest["request_id"], "--json")
    assert code == 0 and [json.loads(line) for line in out.splitlines()] == [newest]
    code, out, err = cli.run("results", "find", "%ag.bmp")
    assert code == 1 and "no row has the request id or file %ag.bmp" in err


def test_an_unknown_job_is_refused(cli: CommandLine, labelled: Path, tmp_path: Path) -> None:
    for words in (["report", "job:nope", "--out", str(tmp_path / "r.html")], ["compare", "job:nope", "job:last"]):
        code, _, err = cli.run(*words)
        assert code == 2 and "no job has the id nope" in err
