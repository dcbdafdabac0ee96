"""A command that goes on with a job: what it sends, what it awaits, and which outcomes it shows."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from client.__main__ import main
from client.cli.arguments import Arguments
from client.cli.session import Session
from client.images import AnyImage
from client.jobs.job import Job
from client.jobs.store import JobStore
from client.results.request_tracker import Outcome
from functions.messages.contract import Response
from tests.job_store import PUBLISH, files, job_of, labelled, send

PROJECT = {"GOOGLE_CLOUD_PROJECT": "p"}


@pytest.fixture
def job() -> Iterator[Job]:
    with job_of(files(4)) as job:
        yield job


def resumed(job: Job) -> Session:
    arguments = Arguments(paths=(), rate=None, tries=1, every=1, state=None, unsent=None, log=None, resume="last")
    session = Session(arguments, job, None)
    session.job_run.await_earlier()
    return session


def receive(session: Session, *responses: Response) -> None:
    """Take responses as the subscription passes them on."""
    for response in responses:
        session.job.receive(response)
        session.tracker.receive(response)


def images(job: Job) -> list[AnyImage]:
    return [image for _, image in job.unsent()]


def ended(session: Session) -> list[Outcome]:
    session.tracker.finish_sending()
    return list(session.tracker.outcomes(0))


def test_the_responses_to_what_was_sent_are_awaited(job: Job) -> None:
    one, two, *others = images(job)
    for image in (one, two):
        send(job, image)
    job.receive(labelled(one.request_id))
    session = resumed(job)
    receive(session, labelled(two.request_id, "Coat"))
    assert list(session.job_run.images()) == others
    [outcome] = ended(session)
    assert outcome.image == two and outcome.response and outcome.trace_id == f"trace of {two.request_id}"


@pytest.mark.parametrize("failed", [False, True])
def test_an_image_that_was_sent_without_a_confirmation_has_one_outcome(
    job: Job, failed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its response arrives before it is sent again, so that it is not sent again."""
    one, *others = images(job)
    job.sending(one)
    if failed:
        job.end(Outcome(one, problem="it could not be published"))
    session = resumed(job)
    receive(session, labelled(one.request_id))
    assert list(session.job_run.images()) == others
    [outcome] = ended(session)
    assert outcome.image == one and outcome.ok and job.counts().ok == 1
    assert ("1 images may have been sent without a confirmation" in capsys.readouterr().err) is not failed


def test_a_response_that_comes_while_the_image_is_sent_again_counts_once(job: Job) -> None:
    one, *_ = images(job)
    job.sending(one)
    session = resumed(job)
    sending = session.job_run.images()
    assert next(sending) == one
    receive(session, labelled(one.request_id))
    session.tracker.expect(one.request_id, one)
    receive(session, labelled(one.request_id))
    assert [image.name for image in sending] == ["1.png", "2.png", "3.png"]
    assert len(ended(session)) == 1


def test_a_job_whose_images_are_not_all_listed_is_not_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A kill during the listing. A new command is needed where the rest cannot be listed again."""
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "")
    path = tmp_path / "jobs.db"
    for selection, sentence in (
        ({"paths": ["photos"], "lists": []}, "ended before all its images were listed, and sent none: give its"),
        ({"paths": ["gs://bucket/a"], "lists": ["-"]}, "ended before it had read all of --from -: send the other"),
        ({"paths": ["gs://bucket/a", "photos"], "lists": []}, "resume it in /elsewhere, where its paths begin"),
    ):
        made = dataclasses.replace(PUBLISH, selection=selection, folder="/elsewhere", place="Google Cloud")
        with JobStore(path) as store:
            job = store.create(made)
            next(job.add(files(1000)))
            for image in images(job):
                job.receive(labelled(send(job, image)))
            job.release()
        assert main(["publish", "--resume", "last", "--state", str(path)], PROJECT) == 2
        said = capsys.readouterr().err
        assert sentence in said and said.count("\n") == 1 and len(said) <= 300
        assert main(["status", "last", "--json", "--state", str(path)], {}) == 1
        found = json.loads(capsys.readouterr().out)
        assert (found["state"], found["all_images_known"], found["ok"]) == ("interrupted", False, 1000)
