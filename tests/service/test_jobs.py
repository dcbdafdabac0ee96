"""Jobs against the whole twin: submit, status, wait and cancel in different processes, and what they refuse."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from client.jobs.store import JobStore
from infra.local.ports import free_port
from infra.local.twin import Delivery, Twin
from tests.service.job_commands import JobCommands, copies, rows_in, rows_of
from tests.waiting import until


@pytest.fixture
def twin(shared_twin: Callable[[Delivery], Twin]) -> Twin:
    return shared_twin("push")


@pytest.fixture
def photos(samples: Path, tmp_path: Path) -> Path:
    return copies(samples, tmp_path / "photos", 40)


def test_a_job_is_submitted_looked_at_and_awaited(jobs: JobCommands, photos: Path) -> None:
    before = jobs.cli.subscriptions()
    code, out, err = jobs.run("submit", "photos")
    job = out.strip()
    assert code == 0 and re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{8}", job) and err == "40 of 40 sent\n"
    code, out, err = jobs.run("wait", job, "--output", "run.csv")
    assert code == 0 and len(out.splitlines()) == 41 and err == "40 of 40 answered\n"
    assert rows_in(jobs.folder / "run.csv") == rows_of(jobs.records()) and jobs.cli.subscriptions() == before
    code, out, _ = jobs.run("status", job, "--json")
    found = json.loads(out)
    assert code == 0 and (found["state"], found["images"], found["ok"], found["missing"]) == ("complete", 40, 40, 0)
    assert jobs.run("wait", job, "--output", "run.csv")[0] == 0 and len(rows_in(jobs.folder / "run.csv")) == 40
    code, out, _ = jobs.run("jobs", "--json")
    assert code == 0 and [json.loads(line)["job"] for line in out.splitlines()] == [job]
    assert jobs.run("jobs", "--forget", job)[0] == 0 and jobs.run("status", job)[0] == 2


def test_a_job_is_awaited_while_it_is_still_submitted(jobs: JobCommands, photos: Path) -> None:
    before = jobs.cli.subscriptions()
    with jobs.start("submit", "photos", "--rate", "20") as submitting:
        assert submitting.stdout
        job = submitting.stdout.readline().strip()
        code, out, err = jobs.run("wait", job, "--json")
        assert submitting.wait(20) == 0
    assert code == 0 and len(out.splitlines()) == 40 and err.endswith("40 of 40 answered\n")
    assert jobs.cli.subscriptions() == before


def test_status_of_a_job_that_is_sent_shows_how_far_it_is(jobs: JobCommands, photos: Path) -> None:
    with jobs.start("submit", "photos", "--rate", "2") as submitting:
        jobs.wait_for(3)
        code, out, _ = jobs.run("status", "last", "--json")
        found = json.loads(out)
        assert code == 1 and found["state"] == "running" and 3 <= found["sent"] < found["images"] == 40
        assert found["sent"] + found["not_sent"] == 40
        assert jobs.run("cancel", "last")[0] == 0
        assert submitting.wait(20) == 1


@pytest.mark.parametrize("command", ["publish", "submit"])
def test_a_job_is_cancelled_while_another_command_sends_it(jobs: JobCommands, photos: Path, command: str) -> None:
    before = jobs.cli.subscriptions()
    with jobs.start(command, "photos", "--rate", "1") as sending:
        jobs.wait_for(2)
        code, out, _ = jobs.run("cancel", "last", "--output", "run.csv")
        assert code == 0 and re.match(r"cancelled \S+: \d+ of 40 answered", out)
        _, err = sending.communicate(timeout=20)
    assert sending.returncode == 1 and "the job was cancelled" in err and "to go on" not in err
    counts = jobs.counts()
    assert counts and counts.waiting > 0 and jobs.cli.subscriptions() == before
    code, out, err = jobs.run("publish", "--resume", "last")
    assert code == 2 and "was cancelled; send its images in a new one" in err
    assert json.loads(jobs.run("status", "last", "--json")[1])["state"] == "cancelled"
    assert jobs.run("wait", "last")[0] == 1


def test_one_command_at_a_time_works_on_a_job(jobs: JobCommands, photos: Path) -> None:
    with jobs.start("publish", "photos", "--rate", "1") as sending:
        jobs.wait_for(2)
        code, out, err = jobs.run("publish", "--resume", "last")
        assert code == 2 and not out and re.search(r"another command works on job \S+: predictions status", err)
        assert jobs.run("jobs", "--forget", "last")[0] == 2
        sending.kill()
        sending.wait()
        code, _, err = jobs.run("publish", "--resume", "last", "--timeout", "40")
    assert code == 0 and err.endswith("40 of 40 answered\n"), "the end of a command is noticed at once"


def test_a_command_that_is_interrupted_is_resumed(jobs: JobCommands, photos: Path) -> None:
    err = jobs.end_at(5, signal.SIGINT, "publish", "photos", "--rate", "4", "--unsent", "unsent.txt")
    assert re.search(r"to go on:   predictions publish --resume \S+\nto give up: predictions cancel \S+\n$", err)
    unsent = (jobs.folder / "unsent.txt").read_text().splitlines()
    counts = jobs.counts()
    assert counts and len(unsent) == counts.waiting and unsent[-1] == f"photos/{max(photos.iterdir()).name}"
    assert jobs.run("wait", "last")[2].count("images are not sent: predictions publish --resume") == 1
    code, _, err = jobs.run("publish", "--resume", "last")
    assert code == 0 and err.endswith("40 of 40 answered\n")


def test_what_a_job_has_fixed_cannot_be_changed(jobs: JobCommands, photos: Path) -> None:
    assert jobs.run("publish", "photos")[0] == 0
    for words, sentence in (
        (["publish", "photos"], "--resume takes the images from the job: give no PATH and no --from with it"),
        (["publish", "--topic", "other"], "--topic is 'other'; job "),
        (["publish", "--project", "other"], "--project is 'other'; job "),
        (["publish", "--bucket", "other"], "--bucket is 'other'; job "),
        (["publish", "--top-k", "3"], "--top-k: the options of job "),
        (["upload", "--bucket", "uploads"], "was made by publish: predictions publish --resume "),
        (["predict"], "was made by publish: predictions publish --resume "),
    ):
        code, out, err = jobs.run(*words, "--resume", "last")
        assert code == 2 and not out and sentence in err and err.count("\n") == 1 and len(err) <= 300
    assert jobs.run("publish", "--resume", "last", "--topic", "req_predict")[0] == 0, "it is the same"


def test_a_job_of_another_place_is_refused(jobs: JobCommands, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs.end_at(3, signal.SIGINT, "publish", "photos", "--rate", "8", "--topic", jobs.cli.topic("void-place"))
    with monkeypatch.context() as patch:
        patch.delenv("PUBSUB_EMULATOR_HOST")
        for words in (["publish", "--resume", "last"], ["wait", "last"]):
            code, _, err = jobs.run(*words)
            assert code == 2 and "was sent to an emulator, and this process uses Google Cloud" in err
        patch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{free_port()}")
        code, _, err = jobs.run("publish", "--resume", "last")
        assert code in (1, 2) and "nothing answers there" in err
    assert jobs.run("cancel", "last")[0] == 0


def test_equal_ids_are_refused_before_the_first_message(jobs: JobCommands, photos: Path) -> None:
    seen = jobs.cli.subscription("seen-ids", "req_predict")
    (jobs.folder / "list.csv").write_text("file,id\nphotos/00000.bmp,a\nphotos/00001.gif,b\nphotos/00002.tif,a\n")
    code, out, err = jobs.run("publish", "--from", "list.csv", "--id-column", "id")
    assert code == 2 and not out and "have the request id 'a'" in err
    assert not jobs.published(seen) and jobs.run("jobs")[1] == ""
    jobs.cli.subscriber.delete_subscription(subscription=seen)


def test_a_file_that_vanishes_is_a_failed_image_and_can_be_resumed(jobs: JobCommands, photos: Path) -> None:
    last = max(photos.iterdir())
    with jobs.start("publish", "photos", "--rate", "4", "--unsent", "unsent.txt") as sending:
        jobs.wait_for(3)
        last.rename(jobs.folder / "away")
        out, err = sending.communicate(timeout=30)
    assert sending.returncode == 1 and "39 of 40 answered" in err and "no such file or directory" in out
    assert (jobs.folder / "unsent.txt").read_text() == f"photos/{last.name}\n"
    (jobs.folder / "away").rename(last)
    code, _, err = jobs.run("publish", "--resume", "last")
    assert code == 0 and err.endswith("40 of 40 answered\n")


def test_each_event_of_a_job_is_logged(jobs: JobCommands, photos: Path) -> None:
    assert jobs.run("publish", "photos", "--log", "events.log")[0] == 0
    with JobStore(jobs.state) as store:
        job = store.find("last").id
    begin, end = (jobs.folder / "events.log").read_text().splitlines()
    assert begin.endswith(f" job {job} begins: publish photos") and end.endswith(f" job {job} ends: 40 of 40 answered")


def test_images_are_tried_again_until_the_worker_is_there(
    jobs: JobCommands, photos: Path, twin: Twin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The endpoint is an address on which something answers only later."""
    port, words = free_port(), ["--tries", "50", "--every", "0.2", "--log", "events.log"]
    with jobs.start("predict", "photos/00000.bmp", "--url", f"http://127.0.0.1:{port}", *words) as posting:
        assert until(lambda: (jobs.folder / "events.log").exists() and "try 2" in _text(jobs))
        relay = subprocess.Popen(
            ["python3", "-c", _RELAY, str(port), twin.env["WORKER_URL"].rpartition(":")[2].strip("/")]
        )
        try:
            out, err = posting.communicate(timeout=30)
        finally:
            relay.kill()
            relay.wait()
    assert posting.returncode == 0 and "Bag" in out and err.endswith("1 of 1 answered\n")
    assert "nothing answers at" in _text(jobs) and "again in 0.2 s" in _text(jobs)


def _text(jobs: JobCommands) -> str:
    return (jobs.folder / "events.log").read_text()


_RELAY = """
import socket, sys, threading
def copy(a, b):
    while data := a.recv(65536):
        b.sendall(data)
    b.shutdown(socket.SHUT_WR)
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    near, _ = server.accept()
    far = socket.create_connection(("127.0.0.1", int(sys.argv[2])))
    threading.Thread(target=copy, args=(near, far), daemon=True).start()
    threading.Thread(target=copy, args=(far, near), daemon=True).start()
"""
