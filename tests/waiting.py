"""Helpers that wait for a condition or for messages instead of sleeping for a fixed time."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the fixtures there use this module
    from tests.brokers import Cloud


def until(condition: Callable[[], object], timeout_s: float = 30.0) -> bool:
    """Whether the condition came true in time. Only a failure waits so long: a busy machine may be slow."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def pull(cloud: Cloud, subscription: str, count: int = 1, timeout_s: float = 10.0) -> list[Any]:
    """Pull until there are `count` messages or the time is up; nothing is acked."""
    received: list[Any] = []
    deadline = time.monotonic() + timeout_s
    while len(received) < count and time.monotonic() < deadline:
        request = {"subscription": subscription, "max_messages": count - len(received), "return_immediately": True}
        with warnings.catch_warnings():  # deprecated, since one should wait; here the test says how long
            warnings.simplefilter("ignore", DeprecationWarning)
            received += cloud.subscriber.pull(request, timeout=10).received_messages
        time.sleep(0.01)
    return received


def nothing(cloud: Cloud, subscription: str, for_s: float = 0.3) -> bool:
    """Whether nothing arrives for a short while."""
    return not pull(cloud, subscription, 1, for_s)


def nack(cloud: Cloud, subscription: str, received: list[Any]) -> None:
    """Give messages back."""
    ids = [each.ack_id for each in received]
    cloud.subscriber.modify_ack_deadline(subscription=subscription, ack_ids=ids, ack_deadline_seconds=0)


def ack(cloud: Cloud, subscription: str, received: list[Any]) -> None:
    """Forget messages."""
    cloud.subscriber.acknowledge(subscription=subscription, ack_ids=[each.ack_id for each in received])
