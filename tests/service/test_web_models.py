"""The page's similar images and its list of models, against real workers, registries and the commands."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from client.__main__ import main
from client.gcp import Cloud
from client.jobs.definition import Definition
from client.jobs.store import JobStore
from client.web import models, similar
from client.web.models import ServedModels
from client.web.settings import Settings
from infra.local.twin import Delivery, Twin
from model.registry.registry import Registry
from tests.registry_models import NAME, push, set_alias
from tests.service.page_server import PageServer
from tests.waiting import until

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def twin(shared_twin: Callable[[Delivery], Twin]) -> Twin:
    return shared_twin("push")


@pytest.fixture
def server(twin: Twin, root: Path, tmp_path: Path) -> Iterator[PageServer]:
    with PageServer(root, tmp_path, twin.env) as server:
        yield server


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry.at(str(tmp_path / "models"))


def listed(monkeypatch: pytest.MonkeyPatch, url: str = "", registry: str = "", names: str = "") -> dict[str, Any]:
    monkeypatch.setattr(models, "_KEPT_S", 0.0)
    return ServedModels(Settings(cloud=Cloud(""), url=url, registry=registry, models=names)).listed()


def test_similar_rows_are_those_of_the_commands(
    server: PageServer,
    twin: Twin,
    samples: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = sorted(path for path in samples.iterdir() if path.suffix in (".png", ".jpg", ".webp", ".bmp", ".gif"))
    for path in files:
        reply = server.upload(path.read_bytes(), uuid.uuid4().hex, path.name, features="true").json()
    job = reply["job"]
    plain = server.upload(files[0].read_bytes(), uuid.uuid4().hex, "plain.png").json()
    assert until(server.answered(len(files) + 1), 30), server.said()

    for name, value in {**twin.env, "PREDICTIONS_STATE": str(server.state)}.items():
        monkeypatch.setenv(name, value)
    index = str(tmp_path / "index.npz")
    assert main(["index", f"job:{job}", "--out", index], twin.env) == 0
    rows = {(row["job"], row["n"]): row for row in server.rows()}
    for number in range(1, len(files) + 1):
        found = requests.get(f"{server.url}/api/rows/{job}/{number}/similar", timeout=30).json()
        row = rows[job, number]
        assert row["has_features"] and "features" not in row and found["searched"] == len(files) - 1
        capsys.readouterr()
        assert main(["similar", row["request_id"], "--index", index, "--json"], twin.env) == 0
        said = [
            (each["request_id"], each["file"], each["label"], each["similarity"])
            for each in json.loads(capsys.readouterr().out)["similar"]
        ]
        shown = [
            tuple(each[name] for name in ("request_id", "file", "label", "similarity")) for each in found["similar"]
        ]
        assert len(said) == len(files) - 1 and shown == said
        assert all(rows[each["job"], each["n"]].items() <= each.items() for each in found["similar"])

    assert main(["submit", str(files[0]), "--features", "--state", str(server.state)], twin.env) == 0
    assert main(["wait", "last", "--state", str(server.state)], twin.env) == 0
    found = requests.get(f"{server.url}/api/rows/{job}/1/similar", timeout=30).json()
    assert (found["searched"], found["similar"][0]["similarity"]) == (len(files), 1.0), (
        "a command's job is searched too"
    )
    for number, sentence in (
        (1, "this image has no features: turn on Similar images, and send it again"),
        (9, "no image 9"),
    ):
        reply = requests.get(f"{server.url}/api/rows/{plain['job']}/{number}/similar", timeout=30)
        assert reply.status_code == 400 and sentence in reply.json()["error"]
    assert requests.get(f"{server.url}/api/rows/{'x' * 9}/1/similar", timeout=30).status_code == 400


def test_features_of_one_model_are_searched_in_the_newest_images(tmp_path: Path) -> None:
    record = {"model_digest": "sha256:a", "features": "ADw="}
    with JobStore(tmp_path / "jobs.db") as store:
        jobs = [store.create(Definition(command="publish", described="")) for _ in range(2)]
        with store._database.transaction() as database:
            for job in jobs:
                for number in range(1, 2502):
                    own = record | {"model_digest": f"sha256:{'ab'[number % 2]}", "n": number}
                    database.execute(
                        "INSERT INTO images (job, number, kind, place, location, name, given_id, key, record) "
                        "VALUES (?, ?, '', ?, '\"x.png\"', '', '', ?, ?)",
                        (job.id, number, str(number), str(number), json.dumps(own)),
                    )
        found = [image for page in store.features("sha256:a", 4001) for image in page]
        newest = [(jobs[1].id, n) for n in range(2500, 0, -2)] + [(jobs[0].id, n) for n in range(2500, 1001, -2)]
        assert [(job, number) for job, number, *_ in found] == newest
        assert {(file, features) for *_, file, features in found} == {("x.png", "ADw=")}
    assert similar.MAX_IMAGES == 100_000


def test_the_registry_s_models_aliases_and_versions_are_offered(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = push(registry, tmp_path, "1.9.0", "1.10.0")
    set_alias(registry, old)
    set_alias(registry, new, "candidate", percent=5.0)
    served = ServedModels(Settings(cloud=Cloud(""), url=NOWHERE, registry=registry.address, models=NAME))
    monkeypatch.setattr(models, "_KEPT_S", 0.0)
    found = served.listed()
    assert (found["default"], found["note"]) == (NAME, "")
    fixed = "this version, whatever the aliases name"
    assert [(each["name"], each["about"]) for each in found["models"]] == [
        (NAME, "stable, version 1.9.0"),
        (f"{NAME}@stable", "version 1.9.0, served, 95 %"),
        (f"{NAME}@candidate", "version 1.10.0, 5 %"),
        (f"{NAME}@1.10.0", fixed),
        (f"{NAME}@1.9.0", fixed),
    ]
    set_alias(registry, new)
    [shoes] = push(registry, tmp_path, "2", name="shoes")
    set_alias(registry, shoes, name="shoes")
    found = served.listed()
    assert found["models"][0]["about"] == "stable, version 1.10.0", "it is read again"
    assert found["note"] == "The worker serves none of: shoes."
    assert {"shoes", "shoes@2"} <= {each["name"] for each in listed(monkeypatch, "", registry.address)["models"]}


def test_where_models_cannot_be_listed_a_sentence_says_why(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert listed(monkeypatch)["note"] == "The models are not listed, because REGISTRY is not set."
    silent = listed(monkeypatch, NOWHERE)
    assert silent["note"] == f"The models are not listed: {NOWHERE} does not say which ones it serves."
    absent = listed(monkeypatch, "", registry.address)["note"]
    assert absent == f"The models are not listed: the registry folder {registry.address} does not exist."
    Path(registry.address).mkdir()
    assert listed(monkeypatch, "", registry.address)["note"] == f"The registry {registry.address} has no model."
    set_alias(registry, push(registry, tmp_path, "1")[0])
    (Path(registry.address) / NAME / "aliases.json").write_text("{")
    broken = listed(monkeypatch, "", registry.address, NAME)
    assert broken["models"] == [] and "aliases.json" in broken["note"] and "Traceback" not in broken["note"]
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", NOWHERE)
    assert "nothing answers there" in listed(monkeypatch, "", "gs://models/registry")["note"]


def test_a_worker_with_an_artifact_names_it(twin: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    found = listed(monkeypatch, f"{twin.worker_url}/predict")
    assert found["default"] == NAME and [each["name"] for each in found["models"]] == [NAME]


def test_a_server_alone_offers_its_models_and_curl_chooses_one(
    registry: Registry, tmp_path: Path, root: Path, samples: Path
) -> None:
    set_alias(registry, push(registry, tmp_path, "1")[0])
    set_alias(registry, push(registry, tmp_path, "2", name="shoes")[0], name="shoes")
    env = {name: "" for name in ("GOOGLE_CLOUD_PROJECT", "PUBSUB_EMULATOR_HOST", "WORKER_URL", "REGISTRY", "MODELS")}
    with (
        Twin(worker="push", log_path=tmp_path / "log", registry=registry.address, models=f"{NAME},shoes") as twin,
        PageServer(root, tmp_path, env, "--server", str(twin.worker_url)) as server,
    ):
        found = requests.get(f"{server.url}/api/models", timeout=30).json()
        assert [each["name"] for each in found["models"]] == [NAME, "shoes"], "one that is not loaded yet is named too"
        assert (found["default"], found["note"]) == (NAME, "")

        def curl(*arguments: str, query: str = "") -> dict[str, Any]:
            command = [
                "curl",
                "-sS",
                "-F",
                f"file=@{samples / 'sneaker.jpg'}",
                *arguments,
                f"{server.url}/predict{query}",
            ]
            response: dict[str, Any] = json.loads(
                subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
            )
            return response

        for response in (curl(query="?model=shoes&top_k=3"), curl("-F", "model=shoes", "-F", "top_k=3")):
            assert (response["model"]["name"], len(response["predictions"])) == ("shoes", 3)
            assert response["predictions"][0]["label"] == "Sneaker 2"
        assert curl("-F", "model=shoes", query=f"?model={NAME}")["model"]["name"] == NAME, (
            "the address takes precedence"
        )
        assert (
            curl("-F", "top_k=many")["error"]["message"] == "top_k is 'many'; it must be a whole number from 1 to 100"
        )
        assert curl("-F", "model=hats")["error"] == {
            "code": "unknown_model",
            "message": f"model is 'hats'; this worker serves '{NAME}', 'shoes'",
        }
