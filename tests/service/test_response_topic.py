"""Responses are published in batches, each with its own id; a refused one fails alone."""

from __future__ import annotations

import pytest
from google.cloud import pubsub_v1

from functions.gcp.publisher import MessageRefused, TopicResponses
from functions.messages.contract import Response
from functions.runtime.supervised import Supervisor
from infra.local.pubsub.server import PubsubServer


def test_responses_are_published_together_and_fail_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with PubsubServer() as server:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", server.host)
        topic = "projects/p/topics/res"
        pubsub_v1.PublisherClient().create_topic(name=topic)
        responses = TopicResponses(topic, Supervisor())
        futures = [responses.publish(Response(f"r{number}")) for number in range(300)]
        assert len({future.result(10) for future in futures}) == 300
        with pytest.raises(MessageRefused):  # over the 10 MB of a request
            responses.publish(Response("r" * 6_000_000)).result(10)
        good, broken = responses.publish(Response("good")), responses.publish(Response("\ud800"))
        assert good.result(10)
        with pytest.raises(MessageRefused):
            broken.result(10)
