"""The page's registry in a bucket that accepts connections and stays silent."""

from __future__ import annotations

import socket
import time

import pytest

from client.gcp import Cloud
from client.text import SendError
from client.web import registry
from client.web.model_cards import ModelCards
from client.web.models import ServedModels
from client.web.settings import Settings

BUCKET = "gs://models/registry"

SENTENCE = f"{BUCKET} cannot be read: ReadTimeout: no answer"


def test_a_silent_bucket_costs_one_short_call(monkeypatch: pytest.MonkeyPatch) -> None:
    assert registry.DEADLINE_S == 5
    monkeypatch.setattr(registry, "DEADLINE_S", 0.3)
    with socket.create_server(("127.0.0.1", 0), backlog=100) as silent:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{silent.getsockname()[1]}")
        settings = Settings(cloud=Cloud(""), url="", registry=BUCKET, models="clothing")
        begun = time.monotonic()
        assert ServedModels(settings).listed()["note"] == f"The models are not listed: {SENTENCE}."
        cards = ModelCards(settings)
        with pytest.raises(SendError, match=SENTENCE):
            cards.choices()
        assert time.monotonic() - begun < 5, "without the deadline, each call is retried for 30 s"

        monkeypatch.setattr("model.registry.registry.BucketStorage", None)  # another call would fail otherwise
        with pytest.raises(SendError, match=SENTENCE):
            cards.card("clothing@1")
