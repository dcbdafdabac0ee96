"""GET /health of the push worker: each request, through any entry point, is counted once and logged in one line."""

from __future__ import annotations

import base64
import io
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from functions_framework import create_app

from functions import bootstrap
from functions.observability.request_log import NOT_READY
from tests.fakes import BrightnessEngine, fake_handler, forget_settings
from tests.samples import encoded
from tests.unit.test_traceparent import GIVEN, TRACE


def push(client: FlaskClient, data: bytes, path: str = "/") -> int:
    message = {"data": base64.b64encode(data).decode(), "messageId": "m", "attributes": {"traceparent": GIVEN}}
    return client.post(path, json={"message": message, "subscription": "s"}).status_code


def served(root: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[BrightnessEngine, FlaskClient]:
    """The engine of a worker that has counted nothing yet, and a client of it."""
    bootstrap.request_log.cache_clear()
    engine = BrightnessEngine()
    handler = fake_handler(engine=engine, request_log=bootstrap.request_log())
    monkeypatch.setattr(bootstrap, "_handler", lambda *_: handler)
    return engine, create_app("serve", str(root / "functions" / "main.py")).test_client()


def test_every_request_is_counted_once(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p")
    monkeypatch.setenv("HTTP_ENDPOINT", "on")
    forget_settings()
    engine, client = served(root, monkeypatch)
    with caplog.at_level(logging.INFO, "functions"):
        assert push(client, encoded()) == 204
        assert push(client, b"junk") == 204
        assert push(client, b"x", "/dead") == 204
        assert client.post("/", data=b"{}").status_code == 400
        assert client.post("/", data=b"x" * 15_000_001).status_code == 413
        assert client.post("/predict", data=encoded(), headers={"traceparent": GIVEN}).status_code == 200
        form = {"photo": (io.BytesIO(b"x"), "x.png")}
        assert client.post("/predict", data=form, headers={"traceparent": GIVEN}).status_code == 400
        engine.failure = RuntimeError("broken")
        assert push(client, encoded(size=(9, 9))) == 503, "another request: what was answered is remembered"
        assert client.post("/predict", data=encoded(), headers={"traceparent": GIVEN}).status_code == 503
    forget_settings()
    report = client.get("/health").get_json()
    assert report["status"] == "ok" and report["since"].endswith("Z")
    assert report["outcomes"] == {"ok": 2, "error": 4, "ignored": 0, "nacked": 1, "malformed": 2, "refused": 0}
    assert report["codes"] == {"invalid_image": 1, "invalid_request": 1, "unavailable": 3}

    lines: list[Any] = [record for record in caplog.records if hasattr(record, "outcome")]
    assert Counter(line.outcome for line in lines) == Counter({"error": 4, "ok": 2, "malformed": 2, "nacked": 1})
    assert len(caplog.records) == len(lines) == 9, "one line a request, and nothing else"
    assert all(line.trace.trace_id == TRACE for line in lines if line.outcome != "malformed")


def test_failures_in_a_row_show_at_ready(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p")
    forget_settings()
    engine, client = served(root, monkeypatch)
    assert client.get("/ready").get_json()["status"] == "ready"
    engine.failure = RuntimeError("broken")
    for number in range(NOT_READY):
        assert push(client, encoded(size=(9, number + 1))) == 503
    reply = client.get("/ready")
    assert (reply.status_code, reply.get_json()["status"]) == (503, "not ready")
    engine.failure = None
    assert push(client, encoded()) == 204
    assert client.get("/ready").status_code == 200
    forget_settings()
