"""`predictions predict`: the HTTP request, and reports when the server is not a worker."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from client.__main__ import main
from client.cli import run
from client.transport.http import endpoint
from functions.messages.contract import Error, Response, encode_response
from infra.local.ports import free_port
from model.labels import Explanation, Prediction


class Worker(HTTPServer):
    """Answers every POST with `status` and `body`, and keeps the last request."""

    status, body, path = 200, b"", ""
    headers: dict[str, str]
    delay_s = 0.0
    received = b""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Worker

    def do_POST(self) -> None:
        self.server.path, self.server.headers = self.path, dict(self.headers.items())
        self.server.received = self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(self.server.delay_s)
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Worker(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def shoe(tmp_path: Path) -> Path:
    path = tmp_path / "shoe & sock.png"
    path.write_bytes(b"the bytes")
    return path


@pytest.mark.parametrize("url", ["http://w:1", "http://w:1/", "w:1", "http://w:1/predict", "http://w:1/predict/"])
def test_predict_posts_to_the_endpoint(url: str) -> None:
    assert endpoint(url) == "http://w:1/predict"


def test_an_image_is_posted_and_its_response_shown(
    worker: Worker, shoe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    worker.body = encode_response(Response("r", (Prediction("Sneaker", 0.99),)))
    assert main(["predict", str(shoe), "--url", worker.url, "--top-k", "1"], {}) == 0
    assert "Sneaker  0.9900" in capsys.readouterr().out
    assert urlsplit(worker.path).path == "/predict"
    assert parse_qs(urlsplit(worker.path).query) == {"top_k": ["1"], "filename": ["shoe & sock.png"]}
    assert worker.received == b"the bytes" and worker.headers["Content-Type"] == "image/png"
    assert len(worker.headers["X-Request-Id"]) == 32


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_wrong_address_or_token_ends_the_sending(
    worker: Worker, samples: Path, capsys: pytest.CaptureFixture[str], status: int
) -> None:
    worker.status, worker.body = status, b"<html>"
    assert main(["predict", str(samples), "--url", worker.url], {}) == 1
    shown = capsys.readouterr()
    assert f"sending stopped: {worker.url}/predict answered HTTP {status} and no response: " in shown.err
    assert "not sent yet" in shown.out


def test_explanations_become_files(
    worker: Worker, shoe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / shoe.name).write_bytes(b"x")
    why = Explanation("Sneaker", "occlusion", b"a PNG")
    worker.body = encode_response(Response("r", (Prediction("Sneaker", 0.99),), explanation=why))
    assert main(["predict", str(shoe), "more", "--url", worker.url, "--explain-to", "why/deep"], {}) == 0
    assert parse_qs(urlsplit(worker.path).query)["explain"] == ["true"]
    names = ["2-shoe & sock.png.explained.png", "shoe & sock.png.explained.png"]
    assert sorted(path.name for path in Path("why/deep").iterdir()) == names
    assert {(Path("why/deep") / name).read_bytes() for name in names} == {b"a PNG"}
    assert "2 explanations are in why/deep\n" in capsys.readouterr().err

    worker.body = encode_response(Response("r", (Prediction("Sneaker", 0.99),)))
    assert main(["predict", str(shoe), "--url", worker.url, "--explain"], {}) == 0
    assert "the worker sent no explanation" in capsys.readouterr().err


def test_explanations_have_the_names_of_the_images_and_stay_in_their_folder(
    worker: Worker, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["a.jpg", "a.png", "sub/a.jpg", "sub/a.png", "trap/b.png"]
    for name in (*names, "other/A.JPG"):
        Path("photos", name).parent.mkdir(parents=True, exist_ok=True)
        Path("photos", name).write_bytes(b"x")
    Path("outside").mkdir()
    Path("explanations").mkdir()
    Path("explanations/trap").symlink_to(tmp_path / "outside")
    why = Explanation("Sneaker", "occlusion", b"a PNG")
    worker.body = encode_response(Response("r", (Prediction("Sneaker", 0.99),), explanation=why))
    for _ in range(2):  # the same names again, whichever answer comes first
        assert main(["predict", "photos", "photos/other/A.JPG", "--url", worker.url, "--explain"], {}) == 0
        found = {path.relative_to("explanations").as_posix() for path in Path("explanations").rglob("*.png")}
        assert found == {f"{name}.explained.png" for name in (*names[:-1], "other/A.JPG")}
        said = capsys.readouterr().err
        assert "trap/b.png.explained.png was not written: a symbolic link has that name" in said
        assert "5 explanations are in explanations\n" in said
    assert not list(Path("outside").iterdir()) and not list(Path().glob("*.png"))


def test_a_slow_answer_is_explained_after_a_while(
    worker: Worker, shoe: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    worker.body = encode_response(Response("r", (Prediction("Sneaker", 0.99),)))
    assert main(["predict", str(shoe), "--url", worker.url], {}) == 0
    assert capsys.readouterr().err == "1 of 1 answered\n"
    monkeypatch.setattr(run, "_SILENCE_S", 0.1)
    worker.delay_s = 0.5
    assert main(["predict", str(shoe), "--url", worker.url], {}) == 0
    said = capsys.readouterr().err
    assert "the worker may be starting, or busy with requests that were sent earlier" in said


def test_images_that_could_not_be_sent_are_listed(
    shoe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    unsent = tmp_path / "unsent.txt"
    assert main(["predict", str(shoe), "--url", nobody, "--unsent", str(unsent)], {}) == 1
    assert unsent.read_text() == f"{shoe}\n"
    assert f"1 images that were not sent are listed in {unsent}" in capsys.readouterr().err
    assert main(["predict", str(shoe), "--url", nobody, "--unsent", str(tmp_path)], {}) == 1
    assert f"--unsent cannot be written to {tmp_path}: is a directory" in capsys.readouterr().err


def test_an_error_is_shown_as_code_and_message(worker: Worker, shoe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    worker.status, worker.body = 415, encode_response(Response("r", error=Error("unsupported_format", "it is HEIC")))
    assert main(["predict", str(shoe), "--url", worker.url], {}) == 1
    assert "unsupported_format: it is HEIC" in capsys.readouterr().out


@pytest.mark.parametrize("body", [b"<html>", b"", b"[]", b"{}", b"\xff"])
def test_an_invalid_response_is_reported(
    worker: Worker, shoe: Path, body: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    worker.status, worker.body = 502, body
    assert main(["predict", str(shoe), "--url", worker.url], {}) == 1
    assert "answered HTTP 502 and no response" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"x" * 3_000_000, "it is over 1,000,000 bytes, the most that a response has"),
        (b"[" * 100_000, "it is not JSON"),
        (
            encode_response(Response("r", (Prediction("Bag", 0.5),))).replace(b"0.5", b"NaN"),
            "score is not a finite number",
        ),
    ],
)
def test_a_malformed_response_is_reported(
    worker: Worker, shoe: Path, body: bytes, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    worker.body = body
    assert main(["predict", str(shoe), "--url", worker.url], {}) == 1
    assert f"answered HTTP 200 and no response: {said}" in capsys.readouterr().out


def test_an_address_without_a_server_is_reported(
    shoe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    url = f"http://127.0.0.1:{free_port()}"
    assert main(["predict", str(shoe), "--url", url], {}) == 1
    assert f"nothing answers at {url}/predict" in capsys.readouterr().out


def test_a_file_that_cannot_be_read_does_not_stop_the_others(
    worker: Worker, shoe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.body = encode_response(Response("r", (Prediction("Sneaker", 0.99),)))
    (shoe.parent / "locked.png").write_bytes(b"x")
    read = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path.name == "locked.png":
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert main(["predict", str(shoe.parent), "--url", worker.url], {}) == 1
    said = capsys.readouterr()
    assert "permission denied" in said.out and "Sneaker" in said.out
    assert "1 of 2 answered" in said.err


@pytest.mark.parametrize(("environ", "shown"), [({}, None), ({"ENDPOINT_TOKEN": "it-is-me"}, "Bearer it-is-me")])
def test_an_endpoint_that_needs_a_token_gets_it(
    worker: Worker, shoe: Path, environ: dict[str, str], shown: str | None
) -> None:
    worker.body = encode_response(Response("r", (Prediction("Sneaker", 0.5),)))
    assert main(["predict", str(shoe), "--url", worker.url], environ) == 0
    assert worker.headers.get("Authorization") == shown


def test_a_link_in_a_folder_is_refused_and_the_others_are_sent(
    worker: Worker, shoe: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    private = tmp_path_factory.mktemp("private") / "key.png"
    private.write_bytes(b"secret")
    (shoe.parent / "link.png").symlink_to(private)
    worker.body = encode_response(Response("r", (Prediction("Sneaker", 0.99),)))
    assert main(["predict", str(shoe.parent), "--url", worker.url], {}) == 1
    said = capsys.readouterr()
    assert worker.received == b"the bytes" and "link.png" not in said.out
    assert "link.png (a symbolic link that leads out of the folder; name the file itself to send it)" in said.err
    assert "1 of 1 answered" in said.err


@pytest.mark.parametrize("kind", ["link", "dangling link", "hard link", "pipe", "file"])
def test_an_explanation_is_not_written_through_links_or_pipes(
    kind: str,
    worker: Worker,
    shoe: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    target, planted = tmp_path / "precious", Path("explanations/shoe & sock.png.explained.png")
    planted.parent.mkdir()
    if kind != "dangling link":
        target.write_bytes(b"precious")
    match kind:
        case "link" | "dangling link":
            planted.symlink_to(target)
        case "hard link":
            planted.hardlink_to(target)
        case "pipe":
            os.mkfifo(planted)
        case _:
            planted.write_bytes(b"old")
    worker.body = encode_response(
        Response("r", (Prediction("Sneaker", 0.99),), explanation=Explanation("Sneaker", "occlusion", b"a PNG"))
    )
    assert main(["predict", str(shoe), "--url", worker.url, "--explain"], {}) == 0
    said = capsys.readouterr().err
    assert target.read_bytes() == b"precious" if kind != "dangling link" else not target.exists()
    if "link" in kind and kind != "hard link":
        assert planted.is_symlink() and f"{planted} was not written: a symbolic link has that name" in said
    else:
        assert planted.is_file() and planted.read_bytes() == b"a PNG"
    assert list(planted.parent.iterdir()) == [planted], "no part is left"
    assert list(Path().iterdir()) == [planted.parent]


@pytest.mark.parametrize("features", [None, b"\x00\x3c"])
def test_a_worker_that_sends_no_features_is_noticed(
    features: bytes | None, shoe: Path, worker: Worker, capsys: pytest.CaptureFixture[str]
) -> None:
    worker.body = encode_response(Response("r", (Prediction("Sneaker", 0.99),), features=features))
    assert main(["predict", str(shoe), "--url", worker.url, "--features"], {}) == 0
    assert parse_qs(urlsplit(worker.path).query)["features"] == ["true"]
    said = "the worker sent no features; one of release 1.0.0 cannot (1 images)" in capsys.readouterr().err
    assert said == (features is None)
    assert main(["predict", str(shoe), "--url", worker.url], {}) == 0
    assert "features" not in capsys.readouterr().err
