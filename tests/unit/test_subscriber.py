"""The pull client: its host, and its own channel for an emulator."""

from __future__ import annotations

import google.auth
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import pubsub_v1

from functions.gcp.subscriber import AnySizeTransport, subscriber


@pytest.mark.parametrize(
    ("emulator", "host"), [("127.0.0.1:8085", "127.0.0.1:8085"), ("", "pubsub.googleapis.com:443")]
)
def test_the_subscriber_connects_to_the_same_host_as_googles_client(
    emulator: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", emulator)
    monkeypatch.setattr(google.auth, "default", lambda **_: (AnonymousCredentials(), "p"))
    stock = pubsub_v1.SubscriberClient(transport=AnySizeTransport)
    for client in (subscriber(), stock):
        if emulator:
            channel = client.transport.grpc_channel
            assert channel._channel.target().decode().endswith(host)  # grpc names it nowhere else
        else:
            assert client.transport.host == host
        client.transport.close()
