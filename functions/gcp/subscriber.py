"""The subscriber client that everything of ours pulls with: it receives messages of any size, wherever the server is.

Pub/Sub takes messages of 10 MB, and a response of it may hold several. For the cloud Google's client makes a channel
without a limit. For PUBSUB_EMULATOR_HOST it makes one with gRPC's own limit of 4 MiB: a larger message then never
arrives, and the client opens its stream again and again in silence.
"""

from __future__ import annotations

from typing import Any

import grpc
from google.cloud.pubsub_v1 import SubscriberClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

_ANY_SIZE = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def subscriber() -> SubscriberClient:
    """A new client; close it when nothing is pulled any more. Raises google.auth's DefaultCredentialsError."""
    return SubscriberClient(transport=_Transport)


class _Transport(SubscriberGrpcTransport):  # type: ignore[misc]
    """Google's transport. A channel that the client brings along is replaced by one without a limit."""

    def __init__(self, *, host: str, channel: grpc.Channel | None = None, **others: Any) -> None:
        if channel is not None:
            channel.close()
            channel = grpc.insecure_channel(host, options=_ANY_SIZE)
        super().__init__(host=host, channel=channel, **others)
