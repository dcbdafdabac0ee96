"""Jobs in Cloud Storage: several machines work on the same jobs, and a killed machine loses nothing."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.cloud import storage

from infra.local.storage.answer import Answer
from infra.local.storage.request import Request
from infra.local.twin import Twin
from tests.service.job_machines import (
    AnsweringWorker,
    Machine,
    answered,
    answering_worker,
    images,
    is_saved,
    only_job,
    until,
)

pytestmark = pytest.mark.slow

STATE = ("--state", "gs://payloads/team/jobs")
TOPIC = ("--topic", "asked")


@pytest.fixture(scope="module")
def twin() -> Iterator[Twin]:
    with Twin(worker=None) as running:
        yield running


@pytest.fixture
def worker(twin: Twin, monkeypatch: pytest.MonkeyPatch) -> Iterator[AnsweringWorker]:
    for name, value in twin.env.items():
        monkeypatch.setenv(name, value)
    with answering_worker(twin, "asked") as running:
        yield running


@pytest.fixture
def bucket(worker: AnsweringWorker) -> Iterator[Any]:
    client = storage.Client(project="local")
    found = client.bucket("payloads")
    yield found
    for blob in found.list_blobs():
        blob.delete()
    client.close()


@pytest.fixture
def machines(twin: Twin, tmp_path: Path, worker: AnsweringWorker) -> tuple[Machine, Machine]:
    return Machine("a", tmp_path / "a", twin.env), Machine("b", tmp_path / "b", twin.env)


def test_another_machine_lists_and_awaits_a_job(
    machines: tuple[Machine, Machine], worker: AnsweringWorker, bucket: Any, tmp_path: Path
) -> None:
    a, b = machines
    code, out, err = a.run("submit", images(tmp_path / "i", 5), *TOPIC, *STATE)
    job = out.strip()
    assert code == 0, err
    assert [each.name for each in bucket.list_blobs()] == [f"team/jobs/{job}.db"]
    assert not list(a.home.iterdir()), "nothing is left on the machine"
    code, out, _ = b.run("jobs", *STATE, "--json")
    assert code == 0
    [listed] = [json.loads(line) for line in out.splitlines()]
    assert (listed["job"], listed["state"], listed["images"], listed["answered"]) == (job, "waiting", 5, 0)
    code, out, _ = b.run("status", "last", *STATE)
    assert code == 1 and "missing   5" in out
    worker.open.set()
    code, out, err = b.run("wait", job, *STATE, "--output", str(tmp_path / "run.jsonl"))
    assert code == 0 and "5 of 5 answered" in err
    assert len((tmp_path / "run.jsonl").read_text().splitlines()) == 5
    code, out, _ = a.run("status", "last", *STATE)
    assert code == 0 and re.search(r"state +complete", out)
    state = Machine("b", b.home, b.twin_env | {"PREDICTIONS_STATE": STATE[1]})
    assert "shoe" in state.run("results", "find", "0003.png")[1]
    assert max(worker.asked.values()) == 1
    assert a.run("jobs", *STATE, "--forget", job)[:2] == (0, "")
    assert not list(bucket.list_blobs())


def test_a_killed_machine_loses_nothing(
    machines: tuple[Machine, Machine], worker: AnsweringWorker, bucket: Any, tmp_path: Path
) -> None:
    a, b = machines
    count = 1500
    worker.open.set()
    process = a.start("publish", images(tmp_path / "i", count), *TOPIC, *STATE, "--rate", "100")
    until(lambda: len(worker.asked) > count / 4 and is_saved(bucket, answered=1))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    sent = dict(worker.asked)
    code, _, err = b.run("publish", "--resume", "last", *TOPIC, *STATE)
    assert code == 2 and re.search(r"a command on a \(if it was killed, for \d+ s more\) works on job", err)
    blob = only_job(bucket)
    blob.metadata = {**blob.metadata, "held_until": "0"}  # as after half a minute
    blob.patch()
    code, _, err = b.run("publish", "--resume", "last", *TOPIC, *STATE, "--timeout", "10")
    assert code == 0 and "1,500 of 1,500 answered" in err
    # No line where every message was confirmed at the moment of the kill.
    reported = re.findall(r"([\d,]+) images may have been sent without a confirmation, and are sent again", err)
    assert len(worker.asked) == count and set(sent) <= set(worker.asked), "images keep their request ids"
    assert sum(worker.asked.values()) - count <= sum(int(number.replace(",", "")) for number in reported) <= 1000
    assert answered(only_job(bucket), tmp_path / "copy.db") == set(worker.asked)


def test_two_machines_do_not_work_on_a_job_at_once(
    machines: tuple[Machine, Machine], worker: AnsweringWorker, bucket: Any, tmp_path: Path
) -> None:
    a, b = machines
    process = a.start("publish", images(tmp_path / "i", 5), *TOPIC, *STATE)
    until(lambda: is_saved(bucket, sent=5))
    code, _, err = b.run("publish", "--resume", "last", *TOPIC, *STATE)
    assert code == 2 and "works on job" in err
    code, out, _ = b.run("status", "last", *STATE)
    assert code == 1 and re.search(r"state +running", out)
    assert re.search("running +5 +0", b.run("jobs", *STATE)[1])
    looking_on = b.start("wait", "last", *STATE)
    time.sleep(3)
    assert looking_on.poll() is None
    worker.open.set()
    assert "5 of 5 answered" in process.communicate(timeout=60)[1]
    assert "5 of 5 answered" in looking_on.communicate(timeout=60)[1]
    assert (process.returncode, looking_on.returncode) == (0, 0)
    assert max(worker.asked.values()) == 1


def test_another_machine_cancels_what_is_being_sent(
    machines: tuple[Machine, Machine], worker: AnsweringWorker, bucket: Any, tmp_path: Path
) -> None:
    a, b = machines
    worker.open.set()
    process = a.start("publish", images(tmp_path / "i", 1000), *TOPIC, *STATE, "--rate", "50")
    until(lambda: is_saved(bucket, answered=1))
    code, out, _ = b.run("cancel", "last", *STATE)
    assert code == 0 and re.match(r"cancelled [-\w]+: [\d,]+ of 1,000 answered", out)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 1 and "the job was cancelled" in out + err
    assert len(worker.asked) < 900
    assert re.search(r"cancelled +1,000 +[1-9]", b.run("jobs", *STATE)[1])
    assert re.search(r"state +cancelled", b.run("status", "last", *STATE)[1])
    code, _, err = b.run("publish", "--resume", "last", *TOPIC, *STATE)
    assert code == 2 and "was cancelled" in err


def test_what_another_program_wrote_is_never_overwritten(
    machines: tuple[Machine, Machine], worker: AnsweringWorker, bucket: Any, tmp_path: Path
) -> None:
    a, b = machines
    worker.open.set()
    process = a.start("publish", images(tmp_path / "i", 1000), *TOPIC, *STATE, "--rate", "50")
    until(lambda: is_saved(bucket, answered=1))
    name = only_job(bucket).name
    bucket.blob(name).upload_from_string(b"another program's")
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert re.search(f"not saved is in /.*: another command has changed or removed gs://payloads/{name}\n", err)
    assert bucket.blob(name).download_as_bytes() == b"another program's"
    file = re.findall(r"not saved is in (/\S+):", err)[-1]
    job = Path(name).stem
    code, out, err = b.run("status", job, "--state", file)
    assert code == 1 and re.search(r"answered +[1-9]", out), err
    code, _, err = b.run("status", job, *STATE)
    assert code == 2 and f"gs://payloads/{name} cannot be used" in err
    assert a.run("cancel", job, "--state", file)[0] == 0  # deletes the subscription


def test_an_upload_whose_reply_was_lost_is_recognised(
    twin: Twin,
    machines: tuple[Machine, Machine],
    worker: AnsweringWorker,
    bucket: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The library repeats the call, and the repetition fails its precondition."""
    answer, lost = twin.storage.answer, list[str]()

    def losing(request: Request) -> Answer:
        made = answer(request)
        if request.method == "POST" and "/upload/" in request.path and b"SQLite format" in request.body and not lost:
            lost.append(request.path)
            return Answer.refusal(503, "busy")
        return made

    monkeypatch.setattr(twin.storage, "answer", losing)
    worker.open.set()
    code, _, err = machines[0].run("publish", images(tmp_path / "i", 3), *TOPIC, *STATE)
    assert lost and code == 0 and "3 of 3 answered" in err
    assert answered(only_job(bucket), tmp_path / "copy.db") == set(worker.asked)


def test_listing_jobs_downloads_none(
    twin: Twin, machines: tuple[Machine, Machine], bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = images(tmp_path / "i", 1)
    jobs = [machines[0].run("submit", path, *TOPIC, *STATE)[1].strip() for _ in range(2)]
    answer, calls = twin.storage.answer, list[str]()

    def noted(request: Request) -> Answer:
        calls.append(request.path)
        return answer(request)

    monkeypatch.setattr(twin.storage, "answer", noted)
    out = machines[1].run("jobs", *STATE)[1]
    assert [line.split()[0] for line in out.splitlines()[1:]] == jobs[::-1]
    assert calls and not [call for call in calls if "/o/" in call], "only the listing is read"
    for job in jobs:
        assert machines[1].run("cancel", job, *STATE)[0] == 0


def test_files_of_another_machine_are_named(
    machines: tuple[Machine, Machine], worker: AnsweringWorker, bucket: Any, tmp_path: Path
) -> None:
    a, b = machines
    path = Path(images(tmp_path / "i", 300))
    worker.open.set()
    process = a.start("publish", str(path), *TOPIC, *STATE, "--rate", "20")
    until(lambda: is_saved(bucket, answered=1))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    job = Path(only_job(bucket).name).stem
    assert f"predictions publish --resume {job} {' '.join(STATE)}\n" in err
    for file in path.iterdir():
        file.unlink()
    code, out, _ = b.run("publish", "--resume", "last", *TOPIC, *STATE, "--json")
    problems = {line["file"]: line["problem"] for line in map(json.loads, out.splitlines())}
    assert code == 1
    assert problems[str(path / "0299.png")] == f"no such file on this machine; job {job} was made on a"
    assert b.run("cancel", "last", *STATE)[0] == 0


@pytest.mark.parametrize(
    ("state", "code", "reason"),
    [
        ("gs://nowhere/jobs", 1, "the job store gs://nowhere/jobs"),
        ("gs://", 2, "it must look like gs://bucket/prefix"),
        ("s3://bucket/jobs", 2, "the job store is 's3://bucket/jobs'; it must be a file or gs://bucket/folder"),
        ("gs://payloads/none", 2, "there is no job in gs://payloads/none yet"),
    ],
)
def test_an_address_without_a_store_is_refused(
    machines: tuple[Machine, Machine], state: str, code: int, reason: str
) -> None:
    found, out, err = machines[0].run("status", "last", "--state", state)
    assert (found, out) == (code, "") and reason in err and err.count("\n") == 1


def test_a_missing_bucket_is_named_before_anything_is_sent(
    machines: tuple[Machine, Machine], worker: AnsweringWorker, tmp_path: Path
) -> None:
    path = images(tmp_path / "i", 1)
    code, out, err = machines[0].run("submit", path, *TOPIC, "--state", "gs://nowhere/jobs")
    assert (code, out) == (1, "") and "cannot be written: NotFound: the bucket nowhere does not exist" in err
    code, _, err = machines[0].run("status", "20260101-000000-0123", "--state", "gs://nowhere/jobs")
    assert code == 1 and "cannot be read: NotFound: the bucket nowhere does not exist" in err
    assert not worker.asked


@pytest.mark.parametrize("content", [b"", b"no SQLite file", b"SQLite format 3\0" + bytes(100)])
def test_an_object_that_is_no_job_is_refused(machines: tuple[Machine, Machine], bucket: Any, content: bytes) -> None:
    bucket.blob("team/jobs/20260101-000000-0123.db").upload_from_string(content)
    code, out, err = machines[0].run("status", "20260101-000000-0123", *STATE)
    assert (code, out) == (2, "") and "gs://payloads/team/jobs/20260101-000000-0123.db" in err and err.count("\n") == 1


def test_a_bucket_that_may_not_be_written_ends_the_command(
    twin: Twin,
    machines: tuple[Machine, Machine],
    worker: AnsweringWorker,
    bucket: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker.open.set()
    process = machines[0].start("publish", images(tmp_path / "i", 300), *TOPIC, *STATE, "--rate", "20")
    until(lambda: is_saved(bucket, answered=1))
    answer = twin.storage.answer
    monkeypatch.setattr(
        twin.storage,
        "answer",
        lambda request: Answer.refusal(403, "forbidden") if "/upload/" in request.path else answer(request),
    )
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "cannot be written: Forbidden: your account may not use the bucket payloads\n" in err
    monkeypatch.setattr(twin.storage, "answer", answer)
    assert answered(only_job(bucket), tmp_path / "copy.db") < set(worker.asked)
    cut = set(worker.asked)
    blob = only_job(bucket)
    blob.metadata = {**blob.metadata, "held_until": "0"}  # as after half a minute
    blob.patch()
    code, _, err = machines[1].run("publish", "--resume", "last", *TOPIC, *STATE)
    assert code == 0 and "300 of 300 answered" in err, "responses that were not saved were not acked"
    assert cut <= answered(only_job(bucket), tmp_path / "again.db") == set(worker.asked)


def test_the_machine_of_a_killed_command_goes_on_at_once(
    machines: tuple[Machine, Machine], worker: AnsweringWorker, bucket: Any, tmp_path: Path
) -> None:
    a, _ = machines
    process = a.start("publish", images(tmp_path / "i", 5), *TOPIC, *STATE)
    until(lambda: is_saved(bucket, sent=5))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    worker.open.set()
    code, _, err = a.run("publish", "--resume", "last", *TOPIC, *STATE)
    assert code == 0 and "5 of 5 answered" in err
