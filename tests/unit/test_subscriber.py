"""The client that pulls: where it leads, and that the channel of an emulator is its own."""

from __future__ import annotations

import google.auth
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import pubsub_v1

from functions.gcp.subscriber import AnySizeTransport, subscriber


@pytest.mark.parametrize(
    ("emulator", "host"), [("127.0.0.1:8085", "127.0.0.1:8085"), ("", "pubsub.googleapis.com:443")]
)
def test_it_leads_where_googles_client_does(emulator: str, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", emulator)
    monkeypatch.setattr(google.auth, "default", lambda **_: (AnonymousCredentials(), "p"))
    stock = pubsub_v1.SubscriberClient(transport=AnySizeTransport)
    for client in (subscriber(), stock):
        if emulator:
            channel = client.transport.grpc_channel
            assert channel._channel.target().decode() == host  # grpc names it nowhere else
        else:
            assert client.transport.host == host
        client.transport.close()
