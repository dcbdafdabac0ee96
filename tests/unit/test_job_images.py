"""A job's images: how they are kept, in which order they are sent, and what becomes of each."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from client.images import AnyImage, ImageFile
from client.jobs.counts import Counts
from client.jobs.job import Job
from client.jobs.store import JobStore
from client.results.request_tracker import Outcome
from client.text import StoreError
from functions.messages.contract import Response
from tests.job_store import PUBLISH, files, job_of, labelled, one_of_each, refused, send


@pytest.fixture
def job() -> Iterator[Job]:
    with job_of(files(3)) as job:
        yield job


def images(job: Job) -> list[AnyImage]:
    return [image for _, image in job.unsent()]


def test_every_kind_of_image_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with job_of(one_of_each()) as job:
        kept = images(job)
        assert [dataclasses.replace(image, request_id="") for image in kept] == one_of_each()
        assert len({image.request_id for image in kept}) == 4 and images(job) == kept
        assert [record.file for record in job.records()][3] == "photos/\\udcff\x1b.png"
        assert list(job.not_sent()) == [image.location for image in one_of_each()]


def test_relative_paths_mean_the_same_files_in_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with job_of(one_of_each()) as job:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        file, archived, stored, _ = (image.location for image in images(job))
        assert (file, archived) == (f"{tmp_path}/photos/a.png", f"{tmp_path}/photos/b.zip/in/b.png")
        assert stored == "gs://bucket/2026/c.png"
        assert next(job.records()).file == "photos/a.png", "as it was given"


def test_a_path_through_a_link_keeps_its_meaning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "far" / "deep").mkdir(parents=True)
    (tmp_path / "far" / "a.png").write_bytes(b"far")
    (tmp_path / "a.png").write_bytes(b"near")
    (tmp_path / "link").symlink_to(tmp_path / "far" / "deep")
    monkeypatch.chdir(tmp_path)
    given = [ImageFile(Path("a.png"), "a.png"), ImageFile(Path("link/../a.png"), "2-a.png")]
    with job_of(given) as job:
        monkeypatch.chdir("/")
        assert [image.read() for image in images(job)] == [b"near", b"far"]


def test_given_request_ids_are_kept_and_an_image_may_have_two() -> None:
    given = [dataclasses.replace(files(1)[0], request_id=each) for each in ("one", "two")]
    with job_of(given) as job:
        assert [image.request_id for image in images(job)] == ["one", "two"]


def test_an_image_is_not_added_twice(job: Job) -> None:
    before = images(job)
    assert list(job.add(files(5))) == [8] and job.counts().total == 5
    assert images(job)[:3] == before


def test_images_are_added_page_by_page() -> None:
    with JobStore(None) as store:
        job = store.create(PUBLISH)
        adding = job.add(files(2500))
        assert (next(adding), job.counts().total, job.is_listed) == (1000, 1000, False)
        assert (list(adding), job.counts().total, job.is_listed) == ([2000, 2500], 2500, True)
        assert [image.location for image in images(job)] == [image.location for image in files(2500)]


def test_no_image_waits_any_more_after_the_page_in_which_the_job_was_cancelled() -> None:
    with job_of(files(2500)) as job:
        unsent = job.unsent()
        next(unsent)
        job.cancel()
        assert sum(1 for _ in unsent) == 999 and job.is_cancelled


def test_every_image_is_in_one_state(job: Job) -> None:
    one, two, three = images(job)
    assert job.counts() == Counts(3, 0, 0, 0, {})
    job.receive(labelled(send(job, one)))
    job.receive(refused(send(job, two)))
    job.end(Outcome(three, problem="no such file"))
    assert job.counts() == Counts(0, 1, 0, 1, {"invalid_image": 1})
    assert [(r.status, r.problem, r.request_id) for r in job.records()] == [
        ("ok", "", one.request_id),
        ("error", "", two.request_id),
        ("failed", "no such file", ""),
    ]
    assert [record.status for record in job.records(failed=True)] == ["error", "failed"]
    assert [record.status for record in job.answered_records()] == ["ok", "error"]
    assert list(job.not_sent()) == ["photos/2.png"] and not job.is_complete()
    job.retry()
    assert images(job) == [three]
    send(job, three)
    assert [request_id for _, request_id, _ in job.awaited()] == [three.request_id]
    assert not job.is_complete()
    job.receive(labelled(three.request_id))
    assert job.is_complete() and not list(job.awaited())


@pytest.mark.parametrize(
    ("responses", "kept"),
    [
        ([refused("r", "unavailable"), refused("r", "invalid_image")], "invalid_image"),
        ([refused("r", "invalid_image"), refused("r", "unavailable")], "invalid_image"),
        ([refused("r"), labelled("r")], "Bag"),
        ([labelled("r"), refused("r")], "Bag"),
        ([labelled("r"), labelled("r", "Coat")], "Bag"),
        ([refused("r", "unavailable"), labelled("r"), labelled("r", "Coat")], "Bag"),
    ],
)
@pytest.mark.parametrize("early", [0, 1, 9])
def test_the_best_response_is_kept(responses: list[Response], kept: str, early: int) -> None:
    """Also of those that arrive before an upload returns the request id."""
    with job_of(files(2)) as job:
        image = images(job)[0]
        for response in responses[:early]:
            job.receive(response)
        assert job.counts().waiting == 2
        send(job, image, "r")
        for response in responses[early:]:
            job.receive(response)
        [record] = job.answered_records()
        assert kept in (record.label, record.error_code) and record.request_id == "r" and record.file == "photos/0.png"
        assert record.trace_id == "trace of r" and job.counts().answered == 1


def test_a_response_before_its_request_is_recorded_counts(job: Job) -> None:
    """The process was killed between sending and recording."""
    image = images(job)[1]
    job.receive(labelled(image.request_id))
    assert job.counts() == Counts(2, 0, 0, 1, {}) and image not in images(job)
    send(job, image)
    job.end(Outcome(image, image.request_id, problem="no answer", missing=True))
    job.end(Outcome(image, problem="it could not be published"))
    assert job.counts() == Counts(2, 0, 0, 1, {}) and len(list(job.not_sent())) == 2
    assert next(job.answered_records()).problem == ""


def test_an_image_whose_sending_is_not_confirmed_is_sent_again(job: Job) -> None:
    image, sent, _ = images(job)
    send(job, sent)
    job.end(Outcome(image, image.request_id, problem="interrupted", missing=True))
    job.end(Outcome(sent, sent.request_id, problem="interrupted", missing=True))
    assert image in images(job) and [each for each, _, _ in job.awaited()] == [sent]


def test_a_response_to_an_unknown_request_is_no_image(job: Job) -> None:
    job.receive(labelled("unknown"))
    assert job.counts() == Counts(3, 0, 0, 0, {})


def test_all_unanswered_images_wait_again_where_their_responses_are_lost(job: Job) -> None:
    one, two, _ = images(job)
    job.receive(refused(send(job, one)))
    send(job, two)
    job.retry()
    assert two not in images(job)
    job.retry(unanswered=True)
    assert two in images(job) and one not in images(job)
    job.receive(labelled(two.request_id))  # the response was not lost after all
    assert two not in images(job)


def test_a_job_without_responses_is_complete_when_all_is_sent() -> None:
    with job_of(files(1), made=dataclasses.replace(PUBLISH, client_id="")) as job:
        send(job, images(job)[0])
        assert job.is_complete() and next(job.records()).status == "sent"


def test_a_response_by_http_is_recorded_with_its_outcome() -> None:
    with job_of(files(1), made=dataclasses.replace(PUBLISH, command="predict", client_id="")) as job:
        [image] = images(job)
        job.end(Outcome(image, image.request_id, labelled(image.request_id)))
        assert job.is_complete() and next(job.records()).label == "Bag"


def test_expired_images_are_those_without_a_response_in_their_time() -> None:
    options = dataclasses.replace(PUBLISH.options, expires_in_s=60)
    with job_of(files(3), made=dataclasses.replace(PUBLISH, options=options)) as job:
        one, two, _ = images(job)
        send(job, one)
        job.receive(labelled(send(job, two)))
        assert job.expired() == 1


def test_a_duration_is_not_negative_when_the_clock_goes_back(job: Job) -> None:
    image = images(job)[0]
    job.receive(labelled(send(job, image, sent_at=1e12)))
    assert next(job.answered_records()).client_ms == 0


def test_a_job_that_was_removed_says_so(tmp_path: Path) -> None:
    with JobStore(tmp_path / "jobs.db") as store, JobStore(tmp_path / "jobs.db") as other:
        job = store.create(PUBLISH)
        other.forget(other.find(job.id))
        for each in (job.hold, job.is_held, lambda: job.is_cancelled, lambda: job.is_listed):
            with pytest.raises(StoreError, match=f"job {job.id} was removed from the job store"):
                each()


@pytest.mark.slow
def test_a_hundred_thousand_images(tmp_path: Path) -> None:
    with job_of(files(100_000), tmp_path / "jobs.db") as job:
        assert job.counts().waiting == 100_000 and sum(1 for _ in job.unsent()) == 100_000
        assert sum(1 for _ in job.records()) == 100_000
