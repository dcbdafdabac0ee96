"""Hostile images through a real entry point and broker: `python -m tests.fault.images`. Prints a line an entry point.

The shared archive, and files made to be slow or large. Promised: exactly one response each, at the first attempt, no
worker dies, no request takes over 2 s, and the worker with all its processes stays under 400 MB.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from functions.messages.contract import Response
from infra.local.twin import Delivery, Twin
from tests.conftest import data_folder
from tests.fault.process_monitor import ProcessMonitor
from tests.hostile import COSTLY, LARGE, archived
from tests.pubsub_client import PubsubClient
from tests.samples import encoded

_INLINE = 9_900_000
"""Bytes that travel in a message."""

_AT_ONCE = 400
"""Requests that wait for an answer, at most: the files together would not fit in memory."""

MAX_TOTAL_MS = 2_000
MAX_MB = 400


@dataclass
class Outcome:
    """The responses, and the state of the worker."""

    entry_point: str
    sent: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    slowest: tuple[float, str] = (0.0, "")
    again: int = 0
    peak_mb: float = 0.0
    dead: int = 0
    died: bool = False

    @property
    def twice(self) -> int:
        return sum(count > 1 for count in self.answers.values())

    @property
    def kept(self) -> bool:
        """Whether all promises are kept, except for durations, which depend on the machine."""
        broken = self.twice or self.again or self.dead or self.died
        return len(self.answers) == self.sent and not broken and self.peak_mb < MAX_MB

    def __str__(self) -> str:
        codes = " ".join(f"{code}={count}" for code, count in sorted(self.codes.items()))
        slowest_ms, name = self.slowest
        return (
            f"entry_point={self.entry_point} requests={self.sent} answered={len(self.answers)} twice={self.twice} "
            f"again={self.again} dead={self.dead} died={self.died:d} {codes} "
            f"slowest_ms={slowest_ms:.0f} ({name}) peak_mb={self.peak_mb:.0f}"
        )


def files(data: Path | None, every: int = 1) -> Iterator[tuple[str, bytes]]:
    """Every file, the made ones and good ones strewn among the others: names to bytes."""
    made = iter({**COSTLY, **LARGE}.items())
    for number, (name, content) in enumerate(archived(data, every) if data else ()):
        yield name, content
        if number % 10 == 0:
            yield f"good {number}", encoded()
            yield from ((name, make()) for name, make in islice(made, 1))
    yield from ((name, make()) for name, make in made)


def send(entry_point: Delivery, given: Iterable[tuple[str, bytes]]) -> Outcome:
    """Publish all of them to a twin of its own and collect every answer."""
    outcome = Outcome(entry_point)
    with Twin(worker=entry_point) as twin:
        before = dict(os.environ)
        os.environ.update(twin.env)
        assert twin._worker is not None
        try:
            with PubsubClient(twin.project) as pubsub, ProcessMonitor(twin._worker.pid) as watch:
                waiting: set[str] = set()
                for name, data in given:
                    pubsub.publish(_payload(pubsub, name, data), request_id=name)
                    outcome.sent += 1
                    waiting.add(name)
                    if len(waiting) >= _AT_ONCE:
                        waiting -= _collect(pubsub, outcome, waiting, half=True)
                _collect(pubsub, outcome, waiting)
                outcome.died = not watch.unchanged
            outcome.peak_mb = watch.peak_mb
            with PubsubClient(twin.project) as pubsub:
                outcome.dead = len(pubsub.backlog("dead_predict-sub"))
        finally:
            os.environ.clear()
            os.environ.update(before)
    return outcome


def _payload(pubsub: PubsubClient, name: str, data: bytes) -> bytes:
    """The message's data: the image, or where it is; an empty message would not be an empty image."""
    if 0 < len(data) < _INLINE:
        return data
    blob = pubsub.storage.bucket("payloads").blob(name)
    blob.upload_from_string(data, timeout=60)
    return f'{{"image_uri": "gs://payloads/{name}"}}'.encode()


def _collect(pubsub: PubsubClient, outcome: Outcome, waiting: set[str], *, half: bool = False) -> set[str]:
    """Note the answers until all (or half) of those that wait are there; gives them. At the end, linger for copies."""
    found: set[str] = set()
    while missing := waiting - found:
        if half and len(missing) <= _AT_ONCE // 2:
            return found
        some = set(sorted(missing)[:1])
        came = pubsub.responses(some, timeout_s=120)
        if not came:
            return found
        found |= _note(outcome, came)
    _note(outcome, pubsub.responses({"nobody"}, timeout_s=1.0))
    return found


def _note(outcome: Outcome, came: list[Response]) -> set[str]:
    for response in came:
        outcome.answers[response.request_id] += 1
        outcome.codes[response.error.code if response.error else "ok"] += 1
        outcome.again += response.delivery_attempt != 1  # the time of an attempt that failed would not be in its timing
        outcome.slowest = max(outcome.slowest, (response.timing_ms.total, response.request_id))
    return {response.request_id for response in came}


def main() -> int:
    """Run both entry points, or the one that is named."""
    parser = argparse.ArgumentParser(prog="python -m tests.fault.images", description=__doc__)
    parser.add_argument("--delivery", choices=["push", "pull"], help="by default both, one after the other")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every Nth file of the archive")
    options = parser.parse_args()
    data = data_folder()
    if not data.is_dir():
        print(f"no shared data at {data}: only the files that are made here", file=sys.stderr)
    kept = True
    both: tuple[Delivery, ...] = ("push", "pull")
    for entry_point in (options.delivery,) if options.delivery else both:
        outcome = send(entry_point, files(data if data.is_dir() else None, options.every))
        print(outcome, flush=True)
        kept &= outcome.kept and outcome.slowest[0] < MAX_TOTAL_MS
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
