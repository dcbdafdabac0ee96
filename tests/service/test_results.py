"""Results files of the client's commands against the whole twin."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from google.api_core.exceptions import DeadlineExceeded

from client.results.result_files import read_records
from infra.local.twin import Delivery, Twin
from tests.service.cli_harness import CommandLine
from tests.waiting import until

ARTIFACT = "model/artifacts/fashion-mnist"


@pytest.fixture
def twin(shared_twin: Callable[[Delivery], Twin]) -> Twin:
    return shared_twin("push")


def silent(text: str) -> None:
    raise AssertionError(text)


@pytest.mark.parametrize("name", ["run.csv", "run.jsonl", "run.sqlite"])
def test_publish_writes_a_row_for_each_image(name: str, cli: CommandLine, samples: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    run = tmp_path / name
    code, lines = cli.lines("publish", str(samples), str(broken), "--top-k", "2", "--output", str(run))
    assert code == 1
    rows = {record.file: record for record in read_records(run, silent)}
    assert len(rows) == len(lines) == 11 and rows[str(broken)].error_code == "invalid_image"
    for line in lines:
        row, response = rows[line["file"]], line["response"]
        assert row.to_row()["predictions"] == response["predictions"] and row.total_ms == response["timing_ms"]["total"]
        assert (row.request_id, row.client_ms, row.trace_id) == (line["request_id"], line["ms"], line["trace_id"])
        assert row.completed_at == response["completed_at"]
    code, out, _ = cli.run("results", "find", "bag.bmp", "--in", str(run), "--json")
    assert code == 0 and json.loads(out)["label"] == "Bag"
    assert cli.run("results", "find", "other.png", "--in", str(run))[0] == 1


def test_results_of_all_commands_are_in_one_file(cli: CommandLine, samples: Path, tmp_path: Path) -> None:
    run, image = tmp_path / "run.csv", str(samples / "bag.bmp")
    for command in ("publish", "upload", "predict"):
        assert cli.run(command, image, "--output", str(run))[0] == 0
    assert cli.run("publish", image, "--no-wait", "--output", str(run))[0] == 0
    rows = list(read_records(run, silent))
    assert [record.label for record in rows] == ["Bag", "Bag", "Bag", ""] and rows[3].status == "sent"
    assert len({record.model_digest for record in rows[:3]}) == 1
    assert len({record.request_id for record in rows}) == 4


def test_a_file_that_cannot_be_written_stops_the_command_first(cli: CommandLine, samples: Path, tmp_path: Path) -> None:
    code, out, err = cli.run("publish", str(samples), "--output", str(tmp_path / "no" / "run.csv"))
    assert code == 2 and out == "" and "run.csv cannot be written: no such file or directory" in err


def test_collect_writes_and_acks(cli: CommandLine, samples: Path, tmp_path: Path) -> None:
    path = cli.subscription("collected", "res_predict")
    run = tmp_path / "run.sqlite"
    try:
        ids = [line.split("\t")[0] for line in cli.run("publish", str(samples), "--no-wait")[1].splitlines()]
        code, _, err = cli.run("collect", "--subscription", "collected", "--output", str(run), "--until-idle", "10")
        rows = list(read_records(run, silent))
        found = [record.request_id for record in rows]  # also of another test that did not wait for its response
        assert len(set(ids)) == 10 and set(found) >= set(ids) and len(set(found)) == len(found)
        assert code == 0 and f"{len(rows)} responses collected" in err
        try:
            left = cli.subscriber.pull(subscription=path, max_messages=10, timeout=3).received_messages
        except DeadlineExceeded:
            left = []
        assert not left
    finally:
        cli.subscriber.delete_subscription(subscription=path)


def test_collect_acks_nothing_that_is_not_written(
    cli: CommandLine, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from client.results.text_files import TextWriter

    def fail(self: TextWriter, record: object) -> None:
        raise OSError(28, "No space left on device")

    path = cli.subscription("unwritten", "res_predict")
    try:
        cli.run("publish", str(samples / "bag.bmp"), "--no-wait")
        words = ("collect", "--subscription", "unwritten", "--output", str(tmp_path / "run.csv"))
        with monkeypatch.context() as patched:
            patched.setattr(TextWriter, "write", fail)
            code, _, err = cli.run(*words, "--for", "60")
        assert code == 1 and "run.csv cannot be written any more: no space left on device" in err

        def labels() -> list[str]:  # the message comes again when its lease has ended
            assert cli.run(*words, "--until-idle", "2")[0] == 0
            return [record.label for record in read_records(tmp_path / "run.csv", silent)]

        assert until(lambda: labels() == ["Bag"], 60)
    finally:
        cli.subscriber.delete_subscription(subscription=path)


def test_evaluate_equals_the_evaluation_of_the_artifact(
    cli: CommandLine, samples: Path, root: Path, tmp_path: Path
) -> None:
    photos, run = tmp_path / "photos", tmp_path / "run.csv"
    shutil.copytree(samples, photos, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (photos / "broken.png").write_bytes(b"no image")
    listed = photos / "labels.csv"
    # One wrong label, so that accuracy is not 1.
    wrong = listed.read_text().replace("sneaker.jpg,Sneaker", "sneaker.jpg,Sandal")
    assert wrong != listed.read_text()
    listed.write_text(wrong.rstrip("\n") + "\nbroken.png,Bag\n")
    assert cli.run("publish", str(photos), "--output", str(run))[0] == 1
    words = ("--artifact", str(root / ARTIFACT), "--json")
    code, out, err = cli.run("evaluate", str(run), "--labels", str(listed), *words)
    assert code == 0, err
    command = [sys.executable, "-m", "model", "evaluate", str(root / ARTIFACT), "--data", str(photos)]
    done = subprocess.run([*command, "--labels", str(listed), "--json"], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    mine, theirs = json.loads(out), json.loads(done.stdout)
    assert 0.5 < mine["accuracy"] < 1
    for name in ("images", "accuracy", "macro", "classes", "confusion"):
        assert mine[name] == theirs[name], name
    assert sum(mine["skipped"].values()) == len(theirs["skipped"]) == 1


_WRITE_UNTIL_KILLED = """
import itertools, sys, time
from pathlib import Path
from client.results.record import Record
from client.results.result_files import open_writer
writer = open_writer(Path(sys.argv[1]), print)
for number in itertools.count():
    writer.write(Record(file="'\\n" * 2000, request_id=f"r{number}"))
    print(number, flush=True)
    time.sleep(0.001)
"""


@pytest.mark.parametrize("name", ["run.csv", "run.jsonl", "run.sqlite"])
def test_a_killed_writer_loses_no_row_that_was_written(name: str, root: Path, tmp_path: Path) -> None:
    path, number = tmp_path / name, -1
    for _ in range(3):
        before = len(list(read_records(path, lambda text: None))) if path.exists() else 0
        process = subprocess.Popen(
            [sys.executable, "-c", _WRITE_UNTIL_KILLED, str(path)], cwd=root, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout
        for line in process.stdout:
            if line.strip().isdigit():
                number = int(line)
            if number >= 200:
                break
        process.kill()
        number = max([number, *(int(line) for line in process.stdout if line.strip().isdigit())])
        process.wait()
        process.stdout.close()
        rows = list(read_records(path, lambda text: None))
        assert before + number + 1 <= len(rows) <= before + number + 2
        assert {record.file for record in rows} == {"'\n" * 2000}
        number = -1


def test_collect_ends_with_ctrl_c_and_keeps_its_rows(
    cli: CommandLine, samples: Path, root: Path, tmp_path: Path
) -> None:
    path = cli.subscription("interrupted", "res_predict")
    run = tmp_path / "run.csv"
    try:
        cli.run("publish", str(samples / "bag.bmp"), "--no-wait")
        command = [sys.executable, "-m", "client", "collect", "--subscription", "interrupted", "--output", str(run)]
        process = subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True)
        assert until(lambda: run.exists() and len(list(read_records(run, lambda text: None))) == 1, 30)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130 and "1 responses collected" in err and "Traceback" not in err
        assert [record.label for record in read_records(run, silent)] == ["Bag"]
    finally:
        cli.subscriber.delete_subscription(subscription=path)
