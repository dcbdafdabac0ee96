"""The subscriber client of the pull worker and the client: it receives messages of any size, also from an emulator.

Pub/Sub takes messages of 10 MB, and a response to a pull may hold several. For the cloud, Google's client makes a
channel without a limit. For PUBSUB_EMULATOR_HOST it makes one with gRPC's default limit of 4 MiB: a larger message then
never arrives, and the client opens its stream again and again without a log line.
"""

from __future__ import annotations

import os
from typing import Any

import grpc
from google.api_core.exceptions import DeadlineExceeded, GoogleAPICallError, ServiceUnavailable
from google.auth.exceptions import GoogleAuthError
from google.pubsub_v1 import SubscriberClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

_ANY_SIZE = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def subscriber() -> SubscriberClient:
    """A new generated client; its transport is the caller's to close. Raises google.auth's DefaultCredentialsError.

    The stock client adds a streaming pull of its own, whose import takes 20 ms of a start.
    """
    return SubscriberClient(transport=AnySizeTransport)


def is_reachable(client: SubscriberClient, subscription: str, timeout_s: float) -> bool:
    """Whether the broker replies on the connection of the client's streams. The question needs no permission."""
    question = {"resource": subscription, "permissions": ["pubsub.subscriptions.consume"]}
    try:
        client.test_iam_permissions(request=question, retry=None, timeout=timeout_s)
    except (ServiceUnavailable, DeadlineExceeded, GoogleAuthError):
        return False
    except GoogleAPICallError:
        return True  # the broker replied, if only with an error
    return True


class AnySizeTransport(SubscriberGrpcTransport):  # type: ignore[misc]
    """Google's transport. It replaces the channel that a client made for an emulator by one without a limit."""

    def __init__(self, *, host: str, channel: grpc.Channel | None = None, **others: Any) -> None:
        if channel is not None:
            channel.close()
            channel = grpc.insecure_channel(os.environ["PUBSUB_EMULATOR_HOST"], options=_ANY_SIZE)
        super().__init__(host=host, channel=channel, **others)
