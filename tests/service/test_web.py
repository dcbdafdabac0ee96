"""The page's server against the whole twin: what it takes, refuses and keeps. A browser is in test_web_browser."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from client.__main__ import main
from client.web.settings import MAX_IMAGE_BYTES
from infra.local.twin import Delivery, Twin
from model.images.limits import Limits
from tests.service.page_server import PageServer
from tests.waiting import until

TYPES = {"Content-Type": "application/octet-stream"}


def new_key() -> str:
    return uuid.uuid4().hex


@pytest.fixture(scope="module")
def twin(shared_twin: Callable[[Delivery], Twin]) -> Twin:
    return shared_twin("push")


@pytest.fixture(scope="module")
def server(twin: Twin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    root = Path(__file__).resolve().parents[2]
    with PageServer(root, tmp_path_factory.mktemp("page"), twin.env) as server:
        yield server


@pytest.fixture
def shoe(samples: Path) -> bytes:
    return (samples / "sneaker.jpg").read_bytes()


@pytest.mark.parametrize("way", ["topic", "bucket", "http"])
def test_curl_posts_a_form_and_gets_the_response(server: PageServer, samples: Path, way: str) -> None:
    address = f"{server.url}/predict?way={way}&top_k=2"
    curl = ["curl", "--silent", "--show-error", "-F", f"file=@{samples / 'sneaker.jpg'}", address]
    response = json.loads(subprocess.run(curl, capture_output=True, check=True, timeout=60).stdout)
    assert response["status"] == "ok" and response["predictions"][0]["label"] == "Sneaker"
    assert len(response["predictions"]) == 2
    [row] = [row for row in server.rows() if row.get("request_id") == response["request_id"]]
    assert row["score"] == response["predictions"][0]["score"] and row["file"] == "sneaker.jpg"
    assert row["predict_ms"] == response["timing_ms"]["predict"]


def test_the_rows_are_those_of_the_command_line(
    server: PageServer, twin: Twin, shoe: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    key = new_key()
    reply = server.upload(shoe, key, "my shoe.jpg", top_k="3")
    assert reply.status_code == 202, reply.text
    job, number = reply.json()["job"], reply.json()["n"]

    def row() -> dict[str, object]:
        return next(row for row in server.rows() if (row["job"], row["n"]) == (job, number))

    assert until(lambda: row()["state"] == "ok", 20), server.said()
    state = {"PREDICTIONS_STATE": str(server.state)}
    assert main(["status", job, "--json", "--state", str(server.state)], twin.env | state) == 0
    status = json.loads(capsys.readouterr().out)
    found = requests.get(f"{server.url}/api/history", timeout=10).json()
    [listed] = [each for each in found["jobs"] if each["job"] == job]
    assert {**listed, "state": ""} == {**status, "state": ""}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREDICTIONS_STATE", str(server.state))
        assert main(["results", "find", "my shoe.jpg", "--json"], twin.env | state) == 0
    [line] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    shown = row()
    common = line.keys() & shown.keys()
    assert {"label", "score", "predictions", "client_ms", "total_ms", "model_digest", "engine"} <= common
    assert {name: shown[name] for name in common} == {name: line[name] for name in common}
    assert until(lambda: not (server.state.with_name("jobs.db-web") / "images" / key).exists())


def test_an_image_that_is_sent_twice_has_one_row(server: PageServer, shoe: bytes) -> None:
    key = new_key()
    first = server.upload(shoe, key).json()
    before = len(server.rows())
    assert server.upload(shoe, key).json() == first == {"key": key, "job": first["job"], "n": first["n"]}
    assert len(server.rows()) == before


def test_images_are_limited_as_the_worker_limits_them(server: PageServer) -> None:
    assert Limits().max_bytes == MAX_IMAGE_BYTES
    reply = server.upload(bytes(MAX_IMAGE_BYTES + 1), new_key())
    assert (reply.status_code, reply.json()) == (
        413,
        {"error": "it is larger than 20,000,000 bytes, and no more are allowed"},
    )
    parts = iter([bytes(1_000_000)] * 21)
    reply = requests.post(f"{server.url}/api/images", parts, params={"key": new_key()}, timeout=30)
    assert reply.status_code == 413


@pytest.mark.parametrize(
    "given, sentence",
    [
        ({"key": "../x"}, "key must be 32 hex digits"),
        ({"way": "pigeon"}, "way is 'pigeon'; it must be one of topic, bucket, http"),
        ({"top_k": "0"}, "top_k is 0; it must be a whole number from 1 to 100"),
        ({"top_k": "many"}, "top_k is 'many'; it must be a whole number from 1 to 100"),
        ({"explain": "yes"}, "explain is 'yes'; it must be true or false"),
    ],
    ids=str,
)
def test_wrong_options_are_named(server: PageServer, shoe: bytes, given: dict[str, str], sentence: str) -> None:
    reply = server.upload(shoe, **{"key": new_key(), **given})
    assert (reply.status_code, reply.json()) == (400, {"error": sentence})


def test_names_are_not_trusted(server: PageServer, shoe: bytes) -> None:
    for name, shown in (("../../etc/passwd", "passwd"), ("a\x1b[31m\n.png", "a_[31m_.png"), ("..\\x\\y.png", "y.png")):
        reply = server.upload(shoe, new_key(), name, way="bucket").json()
        assert until(lambda: server.answered(1)(), 20)
        [row] = [row for row in server.rows() if (row["job"], row["n"]) == (reply["job"], reply["n"])]
        assert row["file"] == shown
    names = {path.name for path in server.state.parent.iterdir()}
    assert names <= {"page.log", "jobs.db", "jobs.db-web", "jobs.db-wal", "jobs.db-shm"}


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "pages.example"},
        {"Host": "127.0.0.1.pages.example:80"},
        {"Origin": "https://pages.example"},
        {"Origin": "null"},
        {"Origin": "http://[::1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_a_page_of_another_site_publishes_and_reads_nothing(
    server: PageServer, shoe: bytes, headers: dict[str, str]
) -> None:
    before = len(server.rows())
    writing = ("/api/images", "/api/again", "/predict", "/api/dead-letters/redrive")
    for path in (*writing, "/api/evaluation/measure", "/api/evaluation/compare"):
        reply = requests.post(server.url + path, shoe, params={"key": new_key()}, headers=TYPES | headers, timeout=10)
        assert reply.status_code == 403, path
    reading = ("facts", "history", "live", "events", "models", "evaluation/jobs", "evaluation/card", "rows/a/1/similar")
    for path in reading:
        assert requests.get(f"{server.url}/api/{path}", headers=headers, timeout=10).status_code == 403, path
    assert len(server.rows()) == before and "Traceback" not in server.said()


def test_the_page_itself_sends_with_its_own_origin(server: PageServer, shoe: bytes) -> None:
    for origin in (server.url, server.url.replace("127.0.0.1", "localhost")):
        headers = {"Origin": origin, "Host": origin.removeprefix("http://"), "Sec-Fetch-Site": "same-origin"}
        reply = requests.post(f"{server.url}/api/images", shoe, params={"key": new_key()}, headers=headers, timeout=10)
        assert reply.status_code == 202


def test_a_thumbnail_is_a_small_image(server: PageServer, shoe: bytes) -> None:
    reply = server.upload(shoe, new_key()).json()
    address = f"{server.url}/api/rows/{reply['job']}/{reply['n']}/thumbnail"
    assert requests.get(address, timeout=10).status_code == 404
    for body, status in ((bytes(4097), 413), (b"<svg onload=alert(1)>", 400), (b"\xff\xd8\xff" + bytes(100), 204)):
        assert requests.put(address, body, timeout=10).status_code == status
    shown = requests.get(address, timeout=10)
    assert shown.headers["Content-Type"] == "image/jpeg" and shown.headers["X-Content-Type-Options"] == "nosniff"
    [row] = [row for row in server.rows() if (row["job"], row["n"]) == (reply["job"], reply["n"])]
    assert row["thumbnail"] is True
    assert requests.put(f"{server.url}/api/rows/..%2f..%2fx/1/thumbnail", shoe[:100], timeout=10).status_code >= 400


def test_the_page_is_small_and_its_policy_is_strict(server: PageServer) -> None:
    page = requests.get(server.url, timeout=10)
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy
    static = Path(__file__).resolve().parents[2] / "client" / "web" / "static"
    assert sum(path.stat().st_size for path in static.iterdir()) < 150_000
    for path in static.iterdir():
        if path.suffix != ".html":
            assert requests.get(f"{server.url}/static/{path.name}", timeout=10).status_code == 200
        text = path.read_text()
        assert "//" not in text.replace("http://www.w3.org/2000/svg", "").replace("// ", "")
        assert not any(word in text for word in ("innerHTML", "<style", "style=", "onclick", "onload"))


def test_unknown_addresses_have_a_sentence(server: PageServer) -> None:
    for method, path in (("GET", "/nothing"), ("GET", "/static/../app.py"), ("DELETE", "/api/images")):
        reply = requests.request(method, server.url + path, timeout=10)
        assert reply.status_code in (404, 405)
        assert (method == "GET" and path.startswith("/static")) or reply.json()["error"]


def test_a_number_that_no_row_has_is_refused_in_a_sentence(server: PageServer, shoe: bytes) -> None:
    job = server.upload(shoe, new_key()).json()["job"]
    for digits in (12, 30, 5000):
        rows, number = f"{server.url}/api/rows/{job}", "9" * digits
        for method, what in (("GET", "thumbnail"), ("GET", "similar"), ("PUT", "thumbnail")):
            reply = requests.request(method, f"{rows}/{number}/{what}", data=b"\xff\xd8\xff", timeout=10)
            assert reply.status_code < 500 and (reply.status_code == 204 or reply.json()["error"]), (digits, what)
    assert server.again(job, 10**30).status_code == 400
    assert "Traceback" not in server.said()


def test_only_images_of_the_page_go_again(server: PageServer, twin: Twin, samples: Path) -> None:
    state = ["--state", str(server.state)]
    main(["submit", str(samples / "sneaker.jpg"), "--topic", "nowhere", *state], twin.env)
    [row] = [row for row in server.rows() if row["state"] in ("failed", "waiting")]
    reply = server.again(row["job"], 1)
    assert reply.status_code == 400 and "is not of the page; predictions publish --resume" in reply.json()["error"]
    assert "again" not in row
    for body in (b"{}", b"[]", b'{"job": 1, "numbers": [1]}', b'{"job": "a", "numbers": ["1"]}'):
        reply = requests.post(f"{server.url}/api/again", body, timeout=10)
        assert (reply.status_code, reply.json()["error"][:22]) == (400, "job must be a job's id")
    assert server.again("20260101-000000-00000000", 1).json() == {
        "error": "no job has the id 20260101-000000-00000000; predictions jobs lists them"
    }


def test_a_server_alone_needs_no_topic(twin: Twin, root: Path, tmp_path: Path, shoe: bytes) -> None:
    env = {name: "" for name in ("GOOGLE_CLOUD_PROJECT", "PUBSUB_EMULATOR_HOST", "WORKER_URL", "UPLOAD_BUCKET")}
    with PageServer(root, tmp_path, env, "--server", twin.env["WORKER_URL"]) as server:
        assert requests.get(f"{server.url}/api/facts", timeout=10).json()["ways"] == ["http"]
        server.upload(shoe, new_key())
        assert until(server.answered(1), 20) and server.rows()[0]["label"] == "Sneaker"
        reply = requests.get(f"{server.url}/api/dead-letters", timeout=10)
        assert reply.status_code == 400 and "to a server alone" in reply.json()["error"]


def test_dead_letters_are_those_of_the_given_subscription(twin: Twin, root: Path, tmp_path: Path) -> None:
    with PageServer(root, tmp_path, twin.env, "--dead-letters", "dev-dead_predict-sub") as server:
        reply = requests.get(f"{server.url}/api/dead-letters", timeout=30)
        assert reply.status_code == 503 and "subscriptions/dev-dead_predict-sub" in reply.json()["error"]


def test_a_server_that_is_away_is_named_in_the_row(root: Path, tmp_path: Path, shoe: bytes) -> None:
    env = {name: "" for name in ("GOOGLE_CLOUD_PROJECT", "PUBSUB_EMULATOR_HOST", "WORKER_URL", "UPLOAD_BUCKET")}
    with PageServer(root, tmp_path, env, "--server", "http://127.0.0.1:1") as server:
        assert server.upload(shoe, new_key()).status_code == 202
        assert until(lambda: server.rows()[0]["state"] == "failed", 20)
        assert "nothing answers at http://127.0.0.1:1/predict" in server.rows()[0]["problem"]


def test_without_a_place_to_send_to_it_does_not_start(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    state = ["--state", str(tmp_path / "jobs.db"), "--port", "0"]
    assert main(["web", *state], {}) == 2
    assert "there is nowhere to send images: set GOOGLE_CLOUD_PROJECT" in capsys.readouterr().err
    remote = {"GOOGLE_CLOUD_PROJECT": "local", "PREDICTIONS_STATE": "gs://bucket/jobs"}
    assert main(["web", "--port", "0"], remote) == 2
    assert "--state is 'gs://bucket/jobs'; the page keeps thumbnails" in capsys.readouterr().err
    assert main(["web", *state, "--host", "no.such.host.invalid"], {"GOOGLE_CLOUD_PROJECT": "local"}) == 2
    assert "cannot listen on no.such.host.invalid" in capsys.readouterr().err
