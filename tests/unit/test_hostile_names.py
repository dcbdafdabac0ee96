"""File and label names with control characters are escaped on terminals, pages and in logs."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
from werkzeug.test import Client

from client.__main__ import main
from functions.errors import InvalidRequest
from functions.messages.contract import Envelope, decode_response
from functions.messages.event_decoder import from_http
from functions.observability.json_logging import JsonLines
from model.text import printable, printable_lines, quoted
from tests.decoding import ignored, rejection
from tests.fakes import MemoryObjects, fake_handler
from tests.http_worker import SERVERS, http_client, serving
from tests.samples import encoded

EVIL = [
    "\x1b]0;owned\x07.png",  # sets the window's title
    "\x1b[2J\x1b[31m.png",  # clears the screen
    "\x9b31m.png",  # the same in one byte of Latin-1
    "a\r\nSet-Cookie: b.png",
    "\u202egnp.exe",  # turns the text around
    "\u2028\u2029\x85.png",  # line breaks that are no \n
    "\x00.png",
    "\udcff.png",  # half a character
    "<script>alert(1)</script>.png",
]
TERMINAL = EVIL[:-1]


def harmless(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


@pytest.fixture(params=SERVERS)
def client(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Client]:
    with serving(fake_handler(objects=MemoryObjects({})), monkeypatch):
        yield http_client(request.param)


@pytest.mark.parametrize("name", EVIL, ids=ascii)
def test_http_responses_contain_no_control_characters(client: Client, name: str) -> None:
    sendable = name.encode("utf-8", "replace").decode()
    uri = json.dumps({"image_uri": f"gs://photos/{name}"}).encode()
    for reply in (
        client.post("/predict", query_string={"filename": sendable}, data=encoded()),
        client.post("/predict", query_string={"filename": sendable, "top_k": sendable}, data=encoded()),
        client.post("/predict", query_string={"model": sendable}, data=encoded()),
        client.post("/predict", data=uri),
        client.post("/predict", data=uri, headers={"Accept": "text/plain"}),
        client.post("/predict", data={"file": (io.BytesIO(encoded()), sendable)}),
        client.post("/", data=b"{}", headers={"ce-type": "x" + printable(name)}),
    ):
        assert harmless(reply.get_data().decode())
        assert reply.content_type.startswith(("application/json", "text/plain")) or reply.status_code == 400
    answered = client.post("/predict", query_string={"filename": sendable}, data=encoded())
    assert decode_response(answered.get_data()).source.filename == sendable, "and yet it is the name that was given"


@pytest.mark.parametrize("name", EVIL, ids=ascii)
def test_a_log_line_is_one_line_of_ascii(name: str) -> None:
    record = logging.makeLogRecord({"msg": "answered %s", "args": (name,), "request_id": name, "reason": name})
    line = JsonLines().format(record)
    assert line.isascii() and line.isprintable()
    assert json.loads(line)["request_id"] == name


@pytest.mark.parametrize("name", TERMINAL, ids=ascii)
def test_usage_errors_quote_arguments_safely(capsys: pytest.CaptureFixture[str], name: str) -> None:
    """`predictions publish *` in a folder with a file of this name."""
    for arguments in (["publish", "a.png", f"--{name}"], ["predict", name], [name]):
        try:
            code = main(arguments, {"GOOGLE_CLOUD_PROJECT": "p", "WORKER_URL": "http://w"})
        except SystemExit as exc:
            code = int(str(exc.code))
        output = capsys.readouterr()
        assert code == 2 and output.out == "" and harmless(output.err)
        assert printable(name) in output.err or repr(name) in output.err


def test_quoted_arguments_are_truncated() -> None:
    long = "x" * 1_000_000
    with pytest.raises(InvalidRequest) as refused:
        from_http({"Content-Type": "application/cloudevents+json"}, json.dumps({"type": long, "data": {}}).encode())
    assert len(str(refused.value)) < 300
    attributes = {"eventType": long, "bucketId": "b", "objectId": "o"}
    assert len(ignored(Envelope("m", b"", attributes)) or long) < 300
    for attribute in ("top_k", "expires_at", "explain"):
        assert len(rejection(Envelope("m", b"image", {attribute: long}))) < 300


def test_quoting_of_hostile_names() -> None:
    assert all(printable(name).isprintable() and quoted(name).isprintable() for name in EVIL)
    assert printable("Füße 靴.png") == "Füße 靴.png" and printable_lines("a\nb\x1b") == "a\nb\\x1b"
