"""What a stopping pull worker has received and not begun: the stream nacks it, and here it is logged and counted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from google.cloud.pubsub_v1.subscriber.scheduler import ThreadScheduler

from functions import events
from functions.outcomes import Outcomes


class HandingBack(ThreadScheduler):  # type: ignore[misc]  # the library has no types
    """Google's own scheduler; each message that it drops at the end is an outcome too."""

    def __init__(self, executor: ThreadPoolExecutor, outcomes: Outcomes) -> None:
        super().__init__(executor)
        self._outcomes = outcomes

    def shutdown(self, await_msg_callbacks: bool = False) -> list[Any]:
        """Wait for what is begun where that is wanted; gives what is not, for the stream to nack."""
        dropped: list[Any] = super().shutdown(await_msg_callbacks)
        for message in dropped:
            self._outcomes.handed_back(events.from_pulled(message))
        return dropped
