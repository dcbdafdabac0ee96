"""What a stopping pull worker has received and not begun: the stream nacks it, and here it is logged and counted."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from google.cloud.pubsub_v1.subscriber.scheduler import ThreadScheduler

from functions import events
from functions.outcomes import Outcomes


class HandingBack(ThreadScheduler):  # type: ignore[misc]  # the library has no types
    """Google's own scheduler; each message that it drops at the end is an outcome too.

    `begin` is offered each message first, by the stream's own thread, which must not wait for anything; it says whether
    it took it.
    """

    def __init__(self, executor: ThreadPoolExecutor, outcomes: Outcomes, begin: Callable[[Any], bool]) -> None:
        super().__init__(executor)
        self._outcomes, self._begin = outcomes, begin

    def schedule(self, callback: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Call back soon: `callback(message)`."""
        if not self._begin(args[0]):
            super().schedule(callback, *args, **kwargs)

    def shutdown(self, await_msg_callbacks: bool = False) -> list[Any]:
        """Wait for what is begun where that is wanted; gives what is not, for the stream to nack."""
        dropped: list[Any] = super().shutdown(await_msg_callbacks)
        for message in dropped:
            self._outcomes.handed_back(events.from_pulled(message))
        return dropped
