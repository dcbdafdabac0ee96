"""The worker's HTTP application in this process, around a handler, and a client for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jsonschema
import pytest
from flask.testing import FlaskClient
from functions_framework import create_app

from functions import bootstrap
from functions.messages.contract import Response, decode_response
from functions.service.handler import Handler
from tests.conftest import ROOT
from tests.fakes import forget_settings

SCHEMA = jsonschema.Draft202012Validator(json.loads((ROOT / "infra" / "schemas" / "response.json").read_text()))


@contextmanager
def serving(handler: Handler, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Applications that are made during the block use the handler. Images have at most 100,000 bytes."""
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p")
    monkeypatch.setenv("MAX_IMAGE_BYTES", "100000")
    monkeypatch.setenv("HTTP_ENDPOINT", "on")
    monkeypatch.setattr(bootstrap, "_handler", lambda executor: handler)
    forget_settings()
    yield
    forget_settings()


def http_client() -> FlaskClient:
    """A client of a new application."""
    client: FlaskClient = create_app("serve", str(ROOT / "functions" / "main.py")).test_client()
    return client


def read(reply: Any) -> Response:
    """The answer, which fits its schema whatever went wrong."""
    SCHEMA.validate(json.loads(reply.get_data()))
    return decode_response(reply.get_data())
