"""The jobs of the Python API against the twin, with the command line and other processes on the same job store."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from google.cloud import storage

from client import AsyncPredictions, AsyncSubmittedJob, Predictions, PredictionsError, SubmittedJob
from infra.local.twin import Delivery, Twin
from tests.memory_pipeline import sending
from tests.service.job_commands import JobCommands, copies, rows_in, rows_of
from tests.waiting import until

IMAGES = 120

pytestmark = pytest.mark.slow

SLOWLY = """
from client.jobs.job_run import JobRun

images = JobRun.images
JobRun.images = lambda run, rate=None: images(run, 15)
"""
"""Makes a program send 15 images a second."""


@pytest.fixture
def twin(shared_twin: Callable[[Delivery], Twin]) -> Twin:
    return shared_twin("push")


@pytest.fixture
def photos(samples: Path, tmp_path: Path) -> Path:
    return copies(samples, tmp_path / "photos", IMAGES)


def program(jobs: JobCommands, text: str) -> subprocess.Popen[str]:
    """Start a Python program in the tests' folder."""
    env = os.environ | {"PYTHONPATH": str(jobs.root)}
    return subprocess.Popen([sys.executable, "-c", text], cwd=jobs.folder, env=env, stdout=subprocess.PIPE, text=True)


def test_the_command_line_sees_a_job_of_a_program(jobs: JobCommands, samples: Path) -> None:
    before = jobs.cli.subscriptions()
    with Predictions() as p:
        job = p.submit(samples, top_k=2)
    status = job.wait(20)
    assert status.complete and (status.images, status.ok, status.errors) == (10, 10, {})
    assert jobs.cli.subscriptions() == before, "the job's subscription is deleted when nothing is missing"
    code, out, _ = jobs.run("status", job.id, "--json")
    found = json.loads(out)
    assert code == 0 and (found["job"], found["state"], found["answered"]) == (job.id, "complete", 10)
    code, out, err = jobs.run("wait", job.id, "--output", "run.csv")
    assert code == 0 and err == "10 of 10 answered\n"
    results = list(job.results())
    assert rows_in(jobs.folder / "run.csv") == rows_of(list(results))
    assert all(each.ok and len(each.predictions) == 2 and each.trace_id and each.client_ms for each in results)


def test_a_program_sees_the_jobs_of_the_command_line(jobs: JobCommands, samples: Path) -> None:
    code, out, _ = jobs.run("submit", str(samples))
    assert code == 0
    p = Predictions()
    job = p.job(out.strip())
    assert job == p.job("last") and p.jobs() == [job]
    assert job.wait(20).complete and [each.index for each in job.results()] == [*range(10)]


def test_a_killed_program_is_resumed_in_another_process(jobs: JobCommands, photos: Path) -> None:
    seen, before = jobs.cli.subscription("seen-python", "req_predict"), jobs.cli.subscriptions()
    text = SLOWLY + "from client import Predictions\nPredictions().submit('photos', on_start=lambda job: print(job.id))"
    with program(jobs, text) as process:
        jobs.wait_for(IMAGES // 4)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    job = Predictions().job("last")
    status = job.status()
    assert (status.state, status.complete, status.images) == ("interrupted", False, IMAGES)
    assert status.not_sent > 10 and status.sent >= IMAGES // 4
    resumed = f"from client import Predictions\njob = Predictions().job({job.id!r})\njob.resume()\nprint(job.wait(20))"
    with program(jobs, resumed) as process:
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and f"job='{job.id}', state='complete'" in out
    published = jobs.published(seen)
    assert len(published) == IMAGES and 0 <= published.total() - IMAGES <= 16, "what was being sent at the kill"
    results = list(job.results())
    assert {each.request_id for each in results} == set(published) and all(each.ok for each in results)
    assert len({each.file for each in results}) == IMAGES
    assert jobs.cli.subscriptions() == before
    jobs.cli.subscriber.delete_subscription(subscription=seen)


def test_the_command_line_resumes_a_job_of_a_program(jobs: JobCommands, photos: Path) -> None:
    with program(jobs, SLOWLY + "from client import Predictions\nPredictions().submit('photos')") as process:
        jobs.wait_for(IMAGES // 4)
        process.send_signal(signal.SIGKILL)
    code, _, err = jobs.run("publish", "--resume", "last")
    assert code == 0 and err.endswith(f"{IMAGES} of {IMAGES} answered\n")
    assert Predictions().job("last").status().complete


def test_two_jobs_at_once(jobs: JobCommands, photos: Path, samples: Path) -> None:
    made: dict[str, SubmittedJob] = {}

    def submit(name: str, folder: Path) -> None:
        made[name] = Predictions().submit(folder)
        made[name].wait(30)

    threads = [threading.Thread(target=submit, args=pair) for pair in (("many", photos), ("few", samples))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert {name: (job.status().complete, job.status().ok) for name, job in made.items()} == {
        "many": (True, IMAGES),
        "few": (True, 10),
    }
    assert {Path(each.file).parent for each in made["many"].results()} == {photos}
    assert {Path(each.file).parent for each in made["few"].results()} == {samples}


def test_missing_answers_and_the_end_of_a_job(jobs: JobCommands, samples: Path) -> None:
    before = jobs.cli.subscriptions()
    job = Predictions(topic=jobs.cli.topic("void-jobs")).submit(samples, expires_in_s=0.001)
    assert len(jobs.cli.subscriptions() - before) == 1
    status = job.wait(0.3)
    assert (status.state, status.complete, status.missing, status.expired) == ("waiting", False, 10, 10)
    assert {each.status for each in job.results()} == {"missing"}
    assert job.cancel().state == "cancelled" and jobs.cli.subscriptions() == before
    assert not job.status().complete and job.wait().missing == 10


def test_a_job_is_cancelled_while_it_is_sent(jobs: JobCommands, photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = jobs.cli.subscriptions()
    text = SLOWLY + "from client import Predictions\nPredictions().submit('photos')"
    with program(jobs, text) as process:
        jobs.wait_for(10)
        assert Predictions().job("last").cancel().state == "cancelled"
        assert process.wait(20) == 1, "submit raises PredictionsError"
    status = Predictions().job("last").status()
    assert status.state == "cancelled" and status.not_sent and jobs.cli.subscriptions() == before
    assert not caplog.messages, "nothing is received any more"


def test_a_cancelled_task_leaves_a_job_that_goes_on(
    jobs: JobCommands, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from client.jobs.job_run import JobRun

    images = JobRun.images

    async def main() -> None:
        with monkeypatch.context() as slow:
            slow.setattr(JobRun, "images", lambda run: images(run, 15))
            started: asyncio.Future[AsyncSubmittedJob] = asyncio.get_running_loop().create_future()
            async with AsyncPredictions() as p:
                task = asyncio.create_task(p.submit(photos, on_start=started.set_result))
                job = await started
                async with asyncio.timeout(60):
                    while not (counts := jobs.counts()) or not counts.sent:
                        await asyncio.sleep(0.01)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
        assert until(lambda: not sending())
        status = await job.status()
        assert status.state == "interrupted" and status.sent and status.not_sent
        async with asyncio.timeout(60):
            await job.resume()
            assert (await job.wait()).complete
        assert len([each async for each in job.results()]) == IMAGES

    before = jobs.cli.subscriptions()
    asyncio.run(main())
    assert until(lambda: jobs.cli.subscriptions() == before)


def test_a_large_image_goes_through_the_bucket(jobs: JobCommands, samples: Path, tmp_path: Path) -> None:
    (tmp_path / "large.jpg").write_bytes((samples / "trouser.jpg").read_bytes() + bytes(1_000_001))
    job = Predictions().submit(tmp_path / "large.jpg")
    assert job.wait(20).complete
    [result] = job.results()
    assert result.label == "Trouser" and result.fetch_ms


def test_objects_and_what_has_no_image(jobs: JobCommands, samples: Path, tmp_path: Path) -> None:
    with storage.Client() as client:
        for name in ("bag.bmp", "coat.tif"):
            client.bucket("payloads").blob(f"jobs/{name}").upload_from_filename(samples / name)
    p, before = Predictions(), jobs.cli.subscriptions()
    job = p.submit("gs://payloads/jobs/")
    assert job.wait(20).complete and [each.label for each in job.results()] == ["Bag", "Coat"]
    with pytest.raises(PredictionsError, match="no image object is at gs://payloads/nothing/"):
        p.submit(["gs://payloads/nothing/"])
    assert p.jobs() == [job] and jobs.cli.subscriptions() == before
    with pytest.raises(PredictionsError, match=r"job \S+ is sent, without what has no image: no image file is at none"):
        p.submit(["gs://payloads/jobs/", "none.png"])
    assert p.job("last").wait(20).complete and jobs.cli.subscriptions() == before


def test_what_stops_the_sending_is_said_with_the_id(jobs: JobCommands, samples: Path) -> None:
    with pytest.raises(PredictionsError, match=r"^job \S+ has images that are not sent: it could not be published: N"):
        Predictions(topic="none").submit(samples)
    [job] = Predictions().jobs()
    assert job.status().not_sent == 10
    with pytest.raises(PredictionsError, match="no subscription for responses can be created: NotFound"):
        Predictions(response_topic="none").submit(samples)
    assert len(Predictions().jobs()) == 2
    job.cancel()


def test_an_emulator_that_is_gone(jobs: JobCommands, samples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = Predictions().submit(samples)
    job.wait(20)
    with monkeypatch.context() as gone:
        gone.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:1")
        with pytest.raises(PredictionsError, match="nothing answers there"):
            Predictions().submit(samples)
        gone.delenv("PUBSUB_EMULATOR_HOST")
        with pytest.raises(PredictionsError, match="was sent to an emulator, and this process uses Google Cloud"):
            job.resume()
    assert Predictions().jobs() == [job]
