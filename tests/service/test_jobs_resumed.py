"""Jobs whose command was killed: --resume sends again what was not confirmed, and the results are the same."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from google.cloud import storage

from infra.local.twin import Delivery, Twin
from tests.service.cli_harness import PROJECT
from tests.service.job_commands import JobCommands, copies, rows_in, rows_of

pytestmark = pytest.mark.slow

IMAGES = 120

ANSWERED = re.compile(
    r"(\d+ images may have been sent without a confirmation, and are sent again\n)?(no answer for 5 s: .*\n)?"
    rf"{IMAGES} of {IMAGES} answered\n"
)


@pytest.fixture
def twin(shared_twin: Callable[[Delivery], Twin]) -> Twin:
    return shared_twin("push")


@pytest.fixture
def photos(samples: Path, tmp_path: Path) -> Path:
    return copies(samples, tmp_path / "photos", IMAGES)


def test_a_killed_command_is_resumed_with_the_same_results(jobs: JobCommands, photos: Path) -> None:
    assert jobs.run("publish", "photos", "--output", "whole.csv", "--state", "whole.db")[0] == 0
    seen = jobs.cli.subscription("seen", "req_predict")
    jobs.end_at(IMAGES // 4, signal.SIGKILL, "publish", "photos", "--rate", "15", "--output", "run.csv")
    before = jobs.counts()
    assert before and before.waiting > 10
    code, out, err = jobs.run("publish", "--resume", "last", "--output", "run.csv")
    assert code == 0 and ANSWERED.fullmatch(err) and len(out.splitlines()) == IMAGES + 1
    published = jobs.published(seen)
    assert len(published) == IMAGES and 0 <= published.total() - IMAGES <= 16, "what was being sent at the kill"
    assert set(published) == {record.request_id for record in jobs.records()}
    assert rows_in(jobs.folder / "run.csv") == rows_in(jobs.folder / "whole.csv") == rows_of(jobs.records())
    code, out, err = jobs.run("publish", "--resume", "last", "--output", "run.csv")
    assert code == 0 and err.endswith(f"{IMAGES} of {IMAGES} answered\n"), "nothing is left to do"
    assert not jobs.published(seen) and len(rows_in(jobs.folder / "run.csv")) == IMAGES
    jobs.cli.subscriber.delete_subscription(subscription=seen)


def test_a_job_is_resumed_as_often_as_it_is_ended(jobs: JobCommands, photos: Path) -> None:
    """Its subscription stays, so that no answer is lost and nothing is sent again."""
    seen = jobs.cli.subscription("seen-2", "req_predict")
    before = jobs.cli.subscriptions()
    words, slowly = ["--output", "run.jsonl"], ["--rate", "10"]
    jobs.end_at(10, signal.SIGKILL, "publish", "photos", *words, *slowly)
    [own] = jobs.cli.subscriptions() - before
    for sent, number in ((20, signal.SIGKILL), (30, signal.SIGINT)):
        jobs.end_at(sent, number, "publish", "--resume", "last", *words, *slowly)
    assert not jobs.cli.subscriptions() - before - {own}
    code, _, err = jobs.run("publish", "--resume", "last", *words)
    assert code == 0 and "is gone" not in err and jobs.cli.subscriptions() == before
    published = jobs.published(seen)
    assert len(published) == IMAGES and published.total() - IMAGES <= 32
    assert len(rows_in(jobs.folder / "run.jsonl")) == IMAGES
    jobs.cli.subscriber.delete_subscription(subscription=seen)


def test_a_resumed_and_interrupted_job_keeps_its_subscription(jobs: JobCommands, photos: Path) -> None:
    topic = jobs.cli.topic("void-resumed")
    before = jobs.cli.subscriptions()
    jobs.end_at(5, signal.SIGINT, "publish", "photos", "--topic", topic, "--rate", "10")
    kept = jobs.cli.subscriptions() - before
    for sent in (10, 15):
        jobs.end_at(sent, signal.SIGINT, "publish", "--resume", "last", "--rate", "10")
        assert jobs.cli.subscriptions() - before == kept and len(kept) == 1
    assert jobs.run("cancel", "last")[0] == 0 and jobs.cli.subscriptions() == before


def test_images_are_sent_again_when_the_subscription_is_gone(jobs: JobCommands, photos: Path) -> None:
    topic = jobs.cli.topic("void-gone")
    seen = jobs.cli.subscription("seen-3", topic)
    before = jobs.cli.subscriptions()
    jobs.end_at(10, signal.SIGINT, "publish", "photos", "--topic", topic, "--rate", "10")
    first, counts = jobs.published(seen), jobs.counts()
    assert counts and counts.unanswered == len(first)
    [own] = jobs.cli.subscriptions() - before
    path = f"projects/{PROJECT}/subscriptions/{own}"
    jobs.cli.subscriber.delete_subscription(subscription=path)
    code, _, err = jobs.run("wait", "last")
    assert code == 1 and "the subscription cannot be read: NotFound" in err
    code, _, err = jobs.run("publish", "--resume", "last", "--timeout", "3")
    assert code == 1 and f"the job's subscription is gone: {len(first)} images are sent again" in err
    second = jobs.published(seen)
    assert set(first) < set(second) and len(second) == second.total() == IMAGES
    assert jobs.run("cancel", "last")[0] == 0
    jobs.cli.subscriber.delete_subscription(subscription=seen)


def test_an_upload_is_resumed(jobs: JobCommands, photos: Path) -> None:
    jobs.end_at(15, signal.SIGKILL, "upload", "photos", "--prefix", "killed/", "--rate", "10")
    code, out, err = jobs.run("upload", "--resume", "last")
    assert code == 0 and ANSWERED.fullmatch(err) and len(out.splitlines()) == IMAGES + 1
    with storage.Client() as client:
        assert len(list(client.list_blobs("uploads", prefix="killed/"))) == IMAGES


def test_posting_is_resumed(jobs: JobCommands, photos: Path) -> None:
    jobs.end_at(15, signal.SIGKILL, "predict", "photos", "--rate", "10", "--output", "run.csv")
    code, _, err = jobs.run("predict", "--resume", "last", "--output", "run.csv")
    assert code == 0 and ANSWERED.fullmatch(err)
    assert rows_in(jobs.folder / "run.csv") == rows_of(jobs.records())


def test_a_listing_is_resumed(jobs: JobCommands, samples: Path) -> None:
    """The images of a bucket, of which not all are known when the command is killed."""
    count = 1100
    data = (samples / "bag.bmp").read_bytes()
    with storage.Client() as client:
        bucket = client.bucket("payloads")
        for number in range(count):
            bucket.blob(f"many/{number:05}.bmp").upload_from_string(data)
    jobs.end_at(20, signal.SIGKILL, "publish", "gs://payloads/many/", "--rate", "40")
    counts = jobs.counts()
    assert counts and counts.total == 1000
    code, out, _ = jobs.run("status", "last")
    assert code == 1 and "1,000 so far; the listing is not read to its end" in out and "interrupted" in out
    code, _, err = jobs.run("publish", "--resume", "last", "--json")
    assert code == 0 and err.endswith(f"{count:,} of {count:,} answered\n")
    assert [record.file for record in jobs.records()] == [f"gs://payloads/many/{n:05}.bmp" for n in range(count)]
