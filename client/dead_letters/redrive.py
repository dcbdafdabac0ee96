"""Publishes dead letters on the request topic again, and acks each after the broker has confirmed its copy."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from client.dead_letters.brokers import DeadLetters, Requests
from client.dead_letters.dead_letter import DeadLetter
from client.dead_letters.subscription import PAGE

_CALL_BYTES = 4_000_000
"""Bytes of the payloads that share a publish call, which may have 10 MB. A larger one has a call of its own."""

Judged = tuple[DeadLetter, str]
"""A dead letter and the obstacle to its redrive, "" for none."""


class Redrive:
    """One run over dead letters. `chosen` are request or message ids; without any, all dead letters are meant.

    `limit` is the most requests to publish, and `rate` the most a second.
    """

    def __init__(
        self,
        subscription: DeadLetters,
        *,
        chosen: set[str] | None = None,
        limit: int | None = None,
        rate: float | None = None,
        keep_expired: bool = False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._subscription, self._chosen, self._limit = subscription, chosen or set(), limit
        self._rate, self._keep_expired, self._sleep = rate, keep_expired, sleep
        self._published: dict[str, int] = {}
        self.missing = set(self._chosen)
        self.count = 0

    @property
    def is_limited(self) -> bool:
        """Whether the run ended because of its limit, so that dead letters may be left unread."""
        return self._left() == 0

    def plan(self) -> Iterator[Judged]:
        """Yield each chosen dead letter with the obstacle to its redrive. Publishes nothing."""
        for page in self._pages():
            self.count += sum(not obstacle for _, obstacle in page)
            yield from page

    def run(self, publisher: Requests) -> Iterator[Judged]:
        """Publish and ack what `plan` would name without an obstacle. Yields what became of each.

        Raises the error of a failed call; the dead letters of this call stay, and so do those after it.
        """
        started = time.monotonic()
        for page in self._pages():
            yield from (judged for judged in page if judged[1])
            before = self.count
            for group in _groups([each for each, obstacle in page if not obstacle]):
                yield from self._publish(publisher, group)
            if self._rate and self.count > before:
                self._sleep(max(0.0, started + self.count / self._rate - time.monotonic()))

    def _publish(self, publisher: Requests, group: list[DeadLetter]) -> Iterator[Judged]:
        refused = publisher.publish(group)
        taken = [each for each in group if each.message_id not in refused]
        self._published |= {each.request.request_id: (each.redrives or 0) + 1 for each in taken}
        self.count += len(taken)
        self._subscription.ack(each.message_id for each in taken)
        yield from ((each, "the broker refuses it" if each.message_id in refused else "") for each in group)

    def _pages(self) -> Iterator[list[Judged]]:
        """Yield the chosen dead letters with their obstacles, never more than the limit without one."""
        size = PAGE if self._rate is None else min(PAGE, max(1, int(self._rate)))
        for page in self._subscription.pages(size):
            now, left, found = datetime.now(UTC), self._left(), list[Judged]()
            for each in page:
                names = self._chosen & {each.request.request_id, each.message_id}
                if self._chosen and not names:
                    continue
                obstacle = self._obstacle(each, now)
                if not obstacle and left == 0:
                    continue
                left -= not obstacle
                self.missing -= names
                found.append((each, obstacle))
            yield found
            if self.is_limited:
                return

    def _left(self) -> int:
        return -1 if self._limit is None else self._limit - self.count

    def _obstacle(self, dead_letter: DeadLetter, now: datetime) -> str:
        again = self._published.get(dead_letter.request.request_id)
        if again is not None and (dead_letter.redrives or 0) >= again:
            return "a dead letter again since this run redrove it"
        return dead_letter.obstacle(now, keep_expired=self._keep_expired)


def _groups(dead_letters: list[DeadLetter]) -> Iterator[list[DeadLetter]]:
    """Yield the dead letters in groups that fit into a publish call."""
    group, size = list[DeadLetter](), 0
    for each in dead_letters:
        if group and size + len(each.data) > _CALL_BYTES:
            yield group
            group, size = [], 0
        group.append(each)
        size += len(each.data)
    if group:
        yield group
