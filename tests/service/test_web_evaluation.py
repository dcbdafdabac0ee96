"""The page's evaluation: its numbers are those of the model card and of the commands evaluate and compare."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from client.__main__ import main
from client.gcp import UsageError
from client.jobs.store import JobStore
from client.report.summary import summarize
from client.results.result_files import open_writer
from client.web import measured
from client.web.page_files import PageFiles
from infra.local.twin import Delivery, Twin
from tests.measured_jobs import PERCENT, MeasuredJobs, measured_jobs
from tests.registry_models import NAME, SHIPPED
from tests.service.page_server import PageServer

ALONE = {name: "" for name in ("PUBSUB_EMULATOR_HOST", "WORKER_URL", "ENDPOINT_URL", "UPLOAD_BUCKET", "ARTIFACT")}
PROJECT = ALONE | {"GOOGLE_CLOUD_PROJECT": "local"}


@pytest.fixture(scope="module")
def jobs(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> MeasuredJobs:
    return measured_jobs(tmp_path_factory.mktemp("measured"), shared_data / "fashion-mnist")


@pytest.fixture(scope="module")
def server(jobs: MeasuredJobs) -> Iterator[PageServer]:
    """A page with a registry and no worker."""
    registry = {"REGISTRY": str(jobs.folder / "registry"), "MODELS": NAME}
    root = Path(__file__).resolve().parents[2]
    with PageServer(root, jobs.folder, PROJECT | registry) as server:
        yield server


Command = Callable[..., Any]


@pytest.fixture
def command(jobs: MeasuredJobs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command of the client in the folder of the photos, and returns what --json prints."""
    monkeypatch.chdir(jobs.folder)
    monkeypatch.setenv("PREDICTIONS_STATE", str(jobs.folder / "jobs.db"))

    def run(*words: str) -> Any:
        main([*words, "--json"], {})
        return json.loads(capsys.readouterr().out)

    return run


def fetched(server: PageServer, path: str, status: int = 200) -> Any:
    reply = requests.get(f"{server.url}/api/evaluation/{path}", timeout=30)
    assert reply.status_code == status, reply.text
    return reply.json()


def posted(server: PageServer, path: str, sent: bytes = b"", status: int = 200, **params: Any) -> Any:
    reply = requests.post(f"{server.url}/api/evaluation/{path}", sent, params=params, timeout=30)
    assert reply.status_code == status, reply.text
    return reply.json()


def test_a_card_has_the_facts_and_the_evaluation_of_the_artifact(server: PageServer, jobs: MeasuredJobs) -> None:
    card = fetched(server, "card")
    manifest, kept = (json.loads((SHIPPED / name).read_text()) for name in ("manifest.json", "evaluation.json"))
    for name in ("name", "version", "digest", "parameters", "engines"):
        assert card[name] == manifest[name]
    assert card["labels"] == (SHIPPED / "labels.txt").read_text().splitlines()
    assert (
        card["evaluation"] == kept
        and kept["images"] == 10_000
        and f"{kept['accuracy']:.2%}" in ((SHIPPED / "MODEL_CARD.md").read_text())
    )
    assert card["served"] is None and card["worker"] is None, "no worker is known"
    models = fetched(server, "models")
    stable, candidate = jobs.versions
    assert [each["ref"] for each in models] == [
        f"{NAME}@stable", f"{NAME}@candidate", f"{NAME}@{candidate}", f"{NAME}@{stable}"
    ]  # fmt: skip
    assert (models[0]["served"], models[1]["percent"]) == (True, PERCENT)
    other = fetched(server, f"card?model={NAME}@candidate")
    assert other["version"] == candidate and other["evaluation"] is None
    assert "and the model is sha256:" in other["problem"] and "evaluate the model again" in other["problem"]
    for wrong, sentence in (
        (f"{NAME}@9.9.9", "has no version 9.9.9"),
        ("../x", "the model is '../x'; it must be 1 to 63"),
    ):
        assert sentence in fetched(server, f"card?model={wrong}", 400)["error"]


@pytest.mark.parametrize("way", ["where the images are", "a CSV file"])
def test_a_job_is_measured_as_the_command_measures_it(
    server: PageServer, jobs: MeasuredJobs, command: Command, way: str
) -> None:
    job, labels = (jobs.published, "photos/") if way == "where the images are" else (jobs.dropped, "labels.csv")
    found = posted(server, "measure", b"" if labels == "photos/" else jobs.labels, job=job)
    expected = command("evaluate", f"job:{job}", "--labels", labels)
    assert 0.8 < expected["accuracy"] < 1 and expected["images"] == 239 and expected["skipped"] == {"invalid_image": 1}
    own = [{"n": each.pop("n"), "thumbnail": each.pop("thumbnail")} for each in found["mistakes"]]
    assert found.pop("command") == f"predictions evaluate job:{job} --labels {labels}"
    assert found.pop("notes")[0] == "skipped 1 images with the error invalid_image"
    assert found == expected
    assert [each["score"] for each in found["mistakes"]] == sorted(
        (m["score"] for m in found["mistakes"]), reverse=True
    )
    rows = {row["n"]: row for row in server.rows() if row["job"] == job}
    for each, mistake in zip(own, found["mistakes"], strict=True):
        row = rows[each["n"]]
        assert (row["file"], row["label"], row["score"]) == (mistake["file"], mistake["predicted"], mistake["score"])
        assert bool(each["thumbnail"]) == (labels == "photos/"), "no browser has made one of the page's images"
    if labels == "photos/":
        shown = requests.get(server.url + own[0]["thumbnail"], timeout=10)
        image = Image.open(io.BytesIO(shown.content))
        assert shown.headers["Content-Type"] == "image/jpeg" and image.size == (28, 28)
        assert image.getpixel((14, 14)) is not None


def test_an_image_of_the_page_never_shows_a_file_of_this_machine(server: PageServer, jobs: MeasuredJobs) -> None:
    with JobStore(jobs.folder / "jobs.db") as store:
        row = next(row for row in store.find(jobs.dropped).records() if row.answered)
    [secret] = jobs.folder.glob(f"photos/*/{row.file}")
    (jobs.folder / row.file).write_bytes(secret.read_bytes())
    path = f"thumbnails/{jobs.dropped}?request_id={row.request_id}"
    assert fetched(server, path, 404)["error"] == "there is no thumbnail of this image"


def test_two_versions_are_compared_as_the_command_compares_them(
    server: PageServer, jobs: MeasuredJobs, command: Command, tmp_path: Path
) -> None:
    found = posted(server, "compare", jobs.labels, job=jobs.split)
    names = ["--canary", NAME, f"job:{jobs.split}", "--registry", str(jobs.folder / "registry")]
    expected = command("compare", *names, "--labels", "labels.csv")
    assert found["found"] == expected and expected["accuracy"] and expected["stable"]["version"] == jobs.versions[0]
    with JobStore(jobs.folder / "jobs.db") as store:
        rows = list(store.find(jobs.split).records())
    digests = [expected[side]["digest"] for side in ("stable", "candidate")]
    split = [[row for row in rows if row.model_digest == digest] for digest in digests]
    assert sum(map(len, split)) == 240 and 30 < len(split[1]) < 120
    for side, own in zip(found["sides"], split, strict=True):
        summary = summarize(own)
        assert (side["images"], side["share"], side["errors"]) == (len(own), len(own) / 240, summary.errors)
        assert side["latency"] == summary.percentiles
    assert found["same"] == {"images": 0, "equal": 0, "share": None}, "each image was answered by one"
    assert [(each["digest"], each["images"]) for each in found["models"]] == [
        (digest, len(own)) for digest, own in zip(digests, split, strict=True)
    ]
    assert found["saved"] is None
    command("compare", *names, "--save")
    saved = posted(server, "compare", job=jobs.split)["saved"]
    assert (saved["verdict"], saved["counts"]) == (
        expected["verdict"],
        {"stable": len(split[0]), "candidate": len(split[1])},
    )
    both = posted(server, "compare", job=[jobs.dropped, jobs.split])["same"]
    files = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    with JobStore(jobs.folder / "jobs.db") as store:
        every = [*store.find(jobs.dropped).records(), *rows]
    for path, digest in zip(files, digests, strict=True):
        writer = open_writer(path, lambda text: None)
        kept: dict[str, Any] = {}
        for row in every:
            if row.model_digest == digest:
                kept.setdefault(row.file, []).append(row)
        for [row] in (each for each in kept.values() if len(each) == 1):
            writer.write(row)
        writer.close()
    labels = command("compare", *map(str, files))["labels"]
    assert (both["equal"], both["share"]) == (labels["equal"], labels["equal_share"]) and both["images"] > 30


def test_without_a_registry_the_versions_are_those_of_the_images(
    root: Path, jobs: MeasuredJobs, tmp_path: Path
) -> None:
    with PageServer(root, jobs.folder, PROJECT) as server:
        found = posted(server, "compare", job=jobs.split)
        assert found["found"]["stable"]["version"] == jobs.versions[0]
        assert "which version is stable is taken from the number of images" in found["notes"][0]
        stable, candidate = (each["digest"] for each in found["models"])
        turned = posted(server, "compare", job=jobs.split, stable=candidate, candidate=stable)["found"]
        assert turned["stable"]["digest"] == candidate and turned["candidate"]["digest"] == stable
        absent = posted(server, "compare", job=jobs.split, candidate="9.9.9")
        assert absent["found"] is None and "no response of the results is of the candidate 9.9.9" in absent["why"]
        assert absent["models"] == found["models"]
        alone = posted(server, "compare", job=jobs.dropped)
        assert alone["found"] is None and "needs responses of two versions of a model" in alone["why"]
        assert fetched(server, "models") == []
        advice = "set REGISTRY and MODELS, or ARTIFACT, as the worker has them, and start the page again"
        assert fetched(server, "card") == {"unknown": f"the page does not know the served model: {advice}"}


@pytest.mark.parametrize(
    "path, params, labels, sentence",
    [
        ("measure", {"job": "20260101-000000-00000000"}, b"", "no job has the id 20260101-000000-00000000"),
        ("measure", {"job": "dropped"}, b"", "the job's images are in no folder of this machine: choose a folder"),
        ("measure", {"job": "dropped"}, b"name,kind\n", "labels.csv lacks the columns file,label in its first line"),
        ("measure", {"job": "dropped"}, b"file,label\na.png\n", "labels.csv line 2 lacks a file or a label"),
        ("measure", {"job": "dropped"}, b"file,label\na.png,Bag\n", "none of the 1 labelled files has predictions"),
        ("measure", {"job": "dropped"}, b"file,label\n\xff,Bag\n", "labels.csv cannot be read: it is not UTF-8"),
        ("measure", {"job": "split"}, b"*", "the results are of several models"),
        ("compare", {"labels": "own"}, b"", "the labels where a job's images are need one job: choose it"),
        ("compare", {"job": "split", "model": "No Name"}, b"", "the model is 'No Name'; it must be 1 to 63 of a-z"),
    ],
    ids=str,
)
def test_what_cannot_be_measured_has_a_sentence(
    server: PageServer, jobs: MeasuredJobs, path: str, params: dict[str, str], labels: bytes, sentence: str
) -> None:
    given = {name: getattr(jobs, value, value) if name == "job" else value for name, value in params.items()}
    error = posted(server, path, jobs.labels if labels == b"*" else labels, 400, **given)["error"]
    assert sentence in error and "Traceback" not in server.said()


def test_more_labels_than_a_matrix_can_show_are_refused(jobs: MeasuredJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured, "_LABELS", 2)
    with JobStore(jobs.folder / "jobs.db") as store:
        page = measured.Measured(store, PageFiles(jobs.folder / "files"), "")
        with pytest.raises(UsageError, match=r"these images have [0-9]+ labels, and the page measures 2"):
            page.evaluation(jobs.dropped, jobs.labels)


def test_the_worker_says_which_model_it_serves(
    shared_twin: Callable[[Delivery], Twin], root: Path, tmp_path: Path, jobs: MeasuredJobs
) -> None:
    url = shared_twin("push").env["WORKER_URL"]
    with PageServer(root, tmp_path, ALONE | {"GOOGLE_CLOUD_PROJECT": ""}, "--server", url) as server:
        card = fetched(server, "card")
        assert card["served"] is True and card["worker"]["digest"] == card["digest"]
        assert card["evaluation"]["digest"] == card["digest"]
    other = {"ARTIFACT": str(jobs.folder / "candidate"), "GOOGLE_CLOUD_PROJECT": ""}
    with PageServer(root, tmp_path, ALONE | other, "--server", url) as server:
        card = fetched(server, "card")
        assert card["version"] == jobs.versions[1] and card["served"] is False
        assert card["worker"]["version"] == jobs.versions[0]
