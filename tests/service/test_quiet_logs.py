"""Logs never hold image bytes or tokens, whatever fails, even at the most verbose level."""

from __future__ import annotations

import base64
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from PIL.PngImagePlugin import PngInfo
from werkzeug.test import Client

from functions.messages.contract import Envelope
from functions.observability.json_logging import JsonLines
from functions.service.handler import Handler
from tests.fakes import BrightnessEngine, MemoryObjects, MemoryResponses, fake_handler, forget_settings, handle
from tests.http_worker import SERVERS, http_client, use
from tests.samples import encoded

SECRET = b"a person's face, pixel by pixel"
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJlbWFpbCI6IngifQ.c2lnbmF0dXJl"


def png(format: str = "PNG") -> bytes:
    about = PngInfo()
    about.add_text("Comment", SECRET.decode())
    return encoded(format, pnginfo=about)


class Lines(logging.Handler):
    """Everything that is logged, as it would be written."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(JsonLines())
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text += self.format(record) + "\n"


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    handler, root = Lines(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
def engine() -> BrightnessEngine:
    return BrightnessEngine()


@pytest.fixture
def responses() -> MemoryResponses:
    return MemoryResponses()


@pytest.fixture
def handler(engine: BrightnessEngine, responses: MemoryResponses) -> Handler:
    return fake_handler(engine=engine, responses=responses, objects=MemoryObjects({"gs://photos/a": png()}))


@pytest.fixture(params=SERVERS)
def client(
    root: Path, handler: Handler, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Client]:
    use(handler, monkeypatch)
    for name, value in {"GOOGLE_CLOUD_PROJECT": "p", "HTTP_ENDPOINT": "on", "LOG_LEVEL": "DEBUG"}.items():
        monkeypatch.setenv(name, value)
    forget_settings()
    monkeypatch.syspath_prepend(str(root))
    yield http_client(request.param)
    forget_settings()


def assert_quiet(lines: Lines, at_least: int) -> None:
    assert len(lines.text.splitlines()) >= at_least, "something was logged"
    for start in range(len(SECRET) - 9):  # base64 differs with the place in the file: look for thirds of it
        part = SECRET[start : start + 9]
        for form in (part.decode(), base64.b64encode(part).decode(), part.hex(), repr(part)[2:-1]):
            assert form not in lines.text
    for word in TOKEN.split("."):
        assert word not in lines.text


def push(data: bytes, **attributes: str) -> dict[str, Any]:
    message = {"data": base64.b64encode(data).decode(), "messageId": "m1", "attributes": attributes}
    return {"json": {"message": message}, "headers": {"Authorization": f"Bearer {TOKEN}"}}


def every_entry_point(client: Client) -> None:
    spoilt = png()[:-40]
    for data in (png(), spoilt, SECRET, b"{" + SECRET, b'{"image_uri": "gs://photos/a"}', b'{"image_uri": "x"}'):
        client.post("/", **push(data, request_id="r1"))
        client.post("/dead", **push(data, request_id="r1"))
        client.post("/predict", data=data, headers={"Authorization": f"Bearer {TOKEN}"})
    client.post("/", data=SECRET)
    client.post("/", json={"message": {"data": SECRET.decode()}})
    client.post("/", json={"message": {"data": "", "attributes": [SECRET.decode()]}})


def test_nothing_secret_is_logged_of_successes_and_refusals(client: Client, lines: Lines) -> None:
    every_entry_point(client)
    assert_quiet(lines, at_least=15)
    assert json.loads(lines.text.splitlines()[0])["message"]


def test_nothing_secret_is_logged_of_failures(
    client: Client, lines: Lines, engine: BrightnessEngine, responses: MemoryResponses
) -> None:
    engine.failure = RuntimeError("out of luck")
    every_entry_point(client)
    engine.failure, responses.failure = None, TimeoutError("no broker")
    every_entry_point(client)
    assert "out of luck" in lines.text and "no broker" in lines.text
    assert_quiet(lines, at_least=30)


def test_nothing_secret_is_logged_of_rejected_pushes(
    client: Client, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = {"PUSH_AUDIENCE": "a", "PUSH_SERVICE_ACCOUNT": "b", "OIDC_JWKS_URL": "http://127.0.0.1:9/"}
    for name, value in guard.items():
        monkeypatch.setenv(name, value)
    forget_settings()
    every_entry_point(client)
    for token in (TOKEN, TOKEN.replace(".", ""), f"{TOKEN}.{TOKEN}"):
        client.post("/", data=SECRET, headers={"Authorization": f"Bearer {token}"})
    assert_quiet(lines, at_least=15)


def test_a_librarys_warning_is_one_log_line(root: Path) -> None:
    """In a separate process, because the tests turn warnings into errors."""
    talk = (
        "from functions.observability.json_logging import configure; configure('INFO', ''); "
        "import warnings; warnings.warn('Corrupt\\nEXIF')"
    )
    done = subprocess.run([sys.executable, "-c", talk], cwd=root, capture_output=True, text=True, check=True)
    (line,) = done.stderr.splitlines()
    assert json.loads(line)["severity"] == "WARNING" and "Corrupt\nEXIF" in json.loads(line)["message"]


def test_nothing_secret_is_logged_by_the_pull_entry_point(
    handler: Handler, lines: Lines, engine: BrightnessEngine, responses: MemoryResponses
) -> None:
    for failing in (None, RuntimeError("out of luck")):
        for unpublished in (None, TimeoutError("no broker")):
            engine.failure, responses.failure = failing, unpublished
            for data in (png(), SECRET, b"{" + SECRET):
                handle(handler, Envelope("m1", data, {"request_id": "r1"}, datetime.now(UTC), 1))
    assert_quiet(lines, at_least=12)


DAMAGED_TAGS = """
import struct
from PIL import TiffImagePlugin
from functions.observability.json_logging import configure
from model.images.decode import decode_image
from model.images.limits import Limits
from tests.image_files import grey_tiff, tiff

configure("DEBUG", "")
shared = [(40_000 + number, 7, 30, 8) for number in range(60)]
data = tiff([*grey_tiff(8, 8, 1, (273, 4, 1, 1000), (278, 4, 1, 8)), *shared], bytes(64))
print(decode_image(data, Limits()).size)
print(sum(isinstance(key, tuple) for key in getattr(TiffImagePlugin, "__warningregistry__", {})))
"""


def test_damaged_tags_fill_neither_log_nor_memory(root: Path) -> None:
    """Pillow warns of each, and Python remembers each text of a warning that is shown."""
    ran = subprocess.run([sys.executable, "-c", DAMAGED_TAGS], cwd=root, capture_output=True, text=True, check=True)
    assert ran.stdout == "(8, 8)\n0\n"
    assert ran.stderr == ""
