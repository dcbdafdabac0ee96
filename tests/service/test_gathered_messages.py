"""Messages with several images on the twin: push and pull, references, one bad image, kills, and jobs of the client."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from google.cloud import storage

from client.transport.gatherer import AUTO_BYTES
from functions.messages.contract import ObjectRef, Response
from functions.messages.image_lines import encode_line
from functions.messages.request_decoder import LINES_TYPE
from infra.local.topology import Topology
from infra.local.twin import Delivery, Twin
from tests.pubsub_client import PubsubClient
from tests.samples import encoded
from tests.service.job_commands import JobCommands, copies, rows_in, rows_of
from tests.waiting import until

IMAGES = 120


@pytest.fixture(params=["push", "pull"])
def twin(request: pytest.FixtureRequest, shared_twin: Callable[[Delivery], Twin]) -> Twin:
    return shared_twin(request.param)


def in_one_message(*images: tuple[str, bytes | ObjectRef]) -> bytes:
    return b"\n".join(encode_line(request_id, image, f"{request_id}.png") for request_id, image in images)


@pytest.mark.parametrize("asked", [{}, {"responses": "batch"}], ids=["each", "batch"])
def test_one_message_is_answered_for_each_of_its_images(
    twin: Twin, asked: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in twin.env.items():
        monkeypatch.setenv(name, value)
    with PubsubClient(twin.project) as pubsub:
        blob = pubsub.storage.bucket("payloads").blob("shoe.png")
        blob.upload_from_string(encoded())
        stored = ObjectRef("payloads", "shoe.png", blob.generation)
        images: list[tuple[str, bytes | ObjectRef]] = [
            ("ref", stored),
            ("bad", b"no image"),
            ("gone", ObjectRef("payloads", "none.png")),
            *((f"r{number}", encoded()) for number in range(40)),
        ]
        lines = in_one_message(*images)
        pubsub.publish(lines, content_type=LINES_TYPE, request_id="all", top_k="2", **asked)
        found = pubsub.responses({name for name, _ in images}, copies_for_s=0.3)
        assert len(found) == len(images), "one response each"
        answers = {response.request_id: response for response in found}
        assert {name: each.error.code for name, each in answers.items() if each.error} == {
            "bad": "invalid_image",
            "gone": "image_not_found",
        }
        assert {len(each.predictions) for each in answers.values() if not each.error} == {2}
        assert answers["ref"].predictions == answers["r0"].predictions
        pubsub.publish(lines + b"\n" + lines, content_type=LINES_TYPE, request_id="twice", **asked)
        [broken] = pubsub.responses({"twice"})
        assert broken.error and broken.error.code == "invalid_request"
        assert broken.error.message == (
            "request_id of line 44 is 'ref', as of line 1; each line must have an id of its own"
        )


def test_gathered_images_have_the_results_of_single_ones(
    twin: Twin, jobs: JobCommands, samples: Path, tmp_path: Path
) -> None:
    photos = copies(samples, tmp_path / "photos", IMAGES)
    (photos / "bad.png").write_bytes(b"no image")
    with storage.Client() as client:
        client.bucket("payloads").blob("stored/shoe.png").upload_from_string(encoded())
    words = ["publish", "photos", "gs://payloads/stored/", "--top-k", "3"]
    assert jobs.run(*words, "--output", "single.csv", "--state", "single.db")[0] == 1
    seen = jobs.cli.subscription(f"seen-gathered-{twin.worker_url is None}", "req_predict")
    code, _, err = jobs.run(*words, "--output", "gathered.csv", "--gather", "32", "--responses", "batch")
    assert code == 1 and "1 with an error" in err, err
    assert 4 <= len(jobs.published(seen)) < IMAGES / 2, "messages"
    assert rows_in(jobs.folder / "gathered.csv") == rows_in(jobs.folder / "single.csv") == rows_of(jobs.records())
    assert jobs.run("publish", "photos", "--gather", "auto", "--output", "auto.jsonl")[0] == 1
    assert len(rows_in(jobs.folder / "auto.jsonl")) == IMAGES + 1
    large = sum(path.stat().st_size > AUTO_BYTES for path in photos.iterdir())
    assert large < len(jobs.published(seen)) < large + (IMAGES - large) / 2
    jobs.cli.subscriber.delete_subscription(subscription=seen)


@pytest.mark.slow
@pytest.mark.parametrize("twin", ["push"], indirect=True)
def test_a_killed_command_that_gathers_is_resumed(twin: Twin, jobs: JobCommands, samples: Path, tmp_path: Path) -> None:
    copies(samples, tmp_path / "photos", IMAGES)
    assert jobs.run("publish", "photos", "--output", "whole.csv", "--state", "whole.db")[0] == 0
    words = ["--rate", "15", "--output", "run.csv"]
    jobs.end_at(IMAGES // 4, signal.SIGKILL, "publish", "photos", *words, "--gather", "16", "--responses", "batch")
    before = jobs.counts()
    assert before and before.waiting > 10
    code, _, err = jobs.run("publish", "--resume", "last", "--gather", "8")
    assert code == 2 and "--gather: the options of job" in err
    code, _, err = jobs.run("publish", "--resume", "last", "--output", "run.csv")
    assert code == 0 and f"{IMAGES} of {IMAGES} answered" in err
    assert rows_in(jobs.folder / "run.csv") == rows_in(jobs.folder / "whole.csv") == rows_of(jobs.records())


@pytest.mark.slow
def test_a_redelivery_after_a_kill_repeats_the_responses_of_all_images(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, ids = encoded("PNG", (2400, 1800), "RGB"), [f"r{number}" for number in range(90)]
    with Twin(worker=None, topology=Topology.read().with_retry(0.2, 0.8)) as twin:
        for name, value in twin.env.items():
            monkeypatch.setenv(name, value)
        env = {**os.environ, "RESPONSE_STORE": "gs://payloads/answers", "PYTHONPATH": str(root)}
        command = [sys.executable, "-m", "functions.entrypoints.pull_worker"]
        with PubsubClient(twin.project) as pubsub, (tmp_path / "log").open("wb") as log:
            pubsub.publish(in_one_message(*((name, image) for name in ids)), content_type=LINES_TYPE)
            worker = subprocess.Popen(command, cwd=root, env=env, stderr=log)
            try:
                first: list[Response] = []
                assert until(lambda: first.extend(pubsub.responses({"never"}, timeout_s=0.05)) or first, 30)  # type: ignore[func-returns-value]
                worker.kill()
                worker.wait()
                first += pubsub.responses({"never"}, timeout_s=3)
                assert 0 < len(first) < len(ids), "it was killed in the middle"
                assert len(pubsub.unacked("req_predict-sub")) == 1
                worker = subprocess.Popen(command, cwd=root, env=env, stderr=log)
                second = pubsub.responses({*ids}, timeout_s=90, copies_for_s=0.5)
                assert sorted(response.request_id for response in second) == sorted(ids)
                assert not pubsub.unacked("req_predict-sub"), "it is acked"
            finally:
                worker.kill()
                worker.wait()
    words = {response.request_id: _words(response) for response in second}
    assert {response.request_id: _words(response) for response in first}.items() <= words.items()


def _words(response: Response) -> Response:
    """The body of a response: what differs for each delivery is in the attributes of its message."""
    return replace(response, trace=None, reply_to=None)


def test_several_files_of_a_form_are_answered_with_a_list(
    shared_twin: Callable[[Delivery], Twin], samples: Path, tmp_path: Path
) -> None:
    """As a user types it, with curl."""
    url = shared_twin("push").env["WORKER_URL"]
    (tmp_path / "bad.png").write_bytes(b"no image")
    files = [f"-Ffile=@{path}" for path in (samples / "sneaker.jpg", tmp_path / "bad.png", samples / "coat.tif")]

    def curl(*words: str) -> tuple[str, str]:
        command = ["curl", "-sS", "-w", "\n%{http_code}", *words]
        body, _, status = subprocess.run(command, capture_output=True, text=True, check=True).stdout.rpartition("\n")
        return status, body

    status, body = curl(*files, "-HX-Request-Id: run", f"{url}/predict?top_k=1")
    found = json.loads(body)["responses"]
    assert status == "200" and [each["request_id"] for each in found] == ["run/1", "run/2", "run/3"]
    assert [each["source"]["filename"] for each in found] == ["sneaker.jpg", "bad.png", "coat.tif"]
    assert [each["error"] and each["error"]["code"] for each in found] == [None, "invalid_image", None]
    assert [len(each["predictions"]) for each in found] == [1, 0, 1]
    status, body = curl(*files, "-HAccept: text/plain", f"{url}/predict?publish=true")
    lines = body.splitlines()
    assert status == "200" and lines[0] == "sneaker.jpg: Sneaker" and lines[1].startswith("bad.png: invalid_image: ")
    (tmp_path / "lines").write_bytes(in_one_message(("a", encoded()), ("b", encoded())))
    status, body = curl("--data-binary", f"@{tmp_path / 'lines'}", f"-HContent-Type: {LINES_TYPE}", f"{url}/predict")
    assert status == "200" and [each["request_id"] for each in json.loads(body)["responses"]] == ["a", "b"]
    (tmp_path / "lines").write_bytes(b'{"image": "aGk="}')
    status, body = curl("--data-binary", f"@{tmp_path / 'lines'}", f"-HContent-Type: {LINES_TYPE}", f"{url}/predict")
    assert status == "400" and json.loads(body)["error"]["message"].startswith("request_id of line 1 is missing;")
    status, body = curl(*(f"-Ffile=@{samples / 'sneaker.jpg'}" for _ in range(257)), f"{url}/predict")
    assert status == "400" and "the form has 257 files; at most 256 are allowed" in body
