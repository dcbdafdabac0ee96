"""A burst from zero, simulated in steps of time: how many wait, how many instances run, how long answers take.

Images are counted, not followed, so that a billion a day cost what a thousand do. The same seed gives the same run.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from math import ceil, exp, sqrt
from random import Random

from client.plan.load import Load
from client.plan.prices import Behaviour
from client.plan.sizing import Size

STEP_S, MOST_STEPS = 0.1, 100_000
"""A step is longer where a burst would need more of them."""

COLD_S = 10.0
"""Images of the first seconds count as cold, the others as warm."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The end of a step: `waiting` images, `ready` instances, and the most seconds that an answer took (0: none)."""

    at_s: float
    waiting: int
    ready: int
    latency_s: float


@dataclass(slots=True)
class Run:
    """What came of it. Waits are counted in steps: `cold` of the images of the first seconds, `warm` of the others."""

    step_s: float
    base_s: float
    moments: list[Moment] = field(default_factory=list)
    arrived: int = 0
    cold: Counter[int] = field(default_factory=Counter)
    warm: Counter[int] = field(default_factory=Counter)

    @property
    def answered(self) -> int:
        return self.cold.total() + self.warm.total()

    @property
    def most_waiting(self) -> int:
        return max((moment.waiting for moment in self.moments), default=0)

    @property
    def settled_s(self) -> float:
        """Seconds until answers are as quick as they get, and a little more; at least those that count as cold."""
        slow = [moment.at_s for moment in self.moments if moment.latency_s > 2 * self.base_s]
        return max(COLD_S, 1.2 * slow[-1] if slow else 0)

    def percentile(self, share: float, waits: Counter[int] | None = None) -> float:
        """Seconds within which this share of the images (by default all of them) is answered."""
        waits = self.cold + self.warm if waits is None else waits
        left = share * waits.total()
        for wait in sorted(waits):
            left -= waits[wait]
            if left <= 0:
                return self.base_s + wait * self.step_s
        return self.base_s


def simulate(load: Load, size: Size, behaviour: Behaviour, seed: int) -> Run:
    """One burst until its last image is answered. Push wakes instances as its window fills; a pool is awake.

    Pub/Sub's push window grows from `push_window`, doubled with each round of answers. No instance ends within a burst.
    """
    faults, step_s = Random(seed), max(STEP_S, load.burst_s / MOST_STEPS)  # nosec B311  # no secret hangs on it
    run = Run(step_s, 2 * behaviour.hop_s + size.hold_s)
    queue: deque[tuple[int, int]] = deque()
    starting: deque[tuple[float, int]] = deque()
    ready, waiting, credit, step = size.min_instances, 0, 0.0, 0
    window = behaviour.push_window if size.delivery == "push" else float("inf")
    wave = 2 ** min(64.0, step_s / size.hold_s)
    while step * step_s < load.burst_s or waiting:
        now = step * step_s
        while starting and starting[0][0] <= now:
            ready += starting.popleft()[1]
        new = _poisson(faults, load.peak_per_s * min(step_s, max(0.0, load.burst_s - now)))
        if new := new or int(not step):  # without an image there is no burst
            queue.append((step, new))
            waiting += new
            run.arrived += new
        rate = min(ready * size.per_s, window / size.hold_s) * step_s
        credit = min(credit, 1.0) + rate
        served = min(waiting, int(credit))
        credit -= served
        waiting -= served
        longest = _serve(run, queue, step, served)
        if served:
            window = min(window * wave, 1e12)
        if size.delivery == "push":
            per_s = served / step_s
            wanted = _wanted(size, behaviour, min(window, waiting + per_s * size.hold_s), per_s)
            asked = ready + sum(count for _, count in starting)
            if wanted > asked:
                starting.append((now + size.start_s, wanted - asked))
        run.moments.append(Moment(now + step_s, waiting, ready, run.base_s + longest * step_s if served else 0.0))
        step += 1
    return run


def _serve(run: Run, queue: deque[tuple[int, int]], step: int, served: int) -> int:
    """Answer the oldest; gives how many steps the first of them waited, which waited longest."""
    longest = step - queue[0][0] if served else 0
    while served:
        came, count = queue.popleft()
        done, wait = min(count, served), step - came
        (run.cold if came * run.step_s < COLD_S else run.warm)[wait] += done
        served -= done
        if done < count:
            queue.appendleft((came, count - done))
    return longest


def _wanted(size: Size, behaviour: Behaviour, under_way: float, per_s: float) -> int:
    """Instances that Cloud Run wants: for the requests under way, and for the CPU that was used."""
    by_requests = under_way / (size.concurrency * behaviour.utilisation)
    by_cpu = per_s / (size.per_s * behaviour.utilisation)
    return min(size.max_instances, ceil(max(by_requests, by_cpu)))


def _poisson(faults: Random, mean: float) -> int:
    """How many come where `mean` are expected: Knuth's product for few, the normal distribution for many."""
    if mean > 50:
        return max(0, round(faults.gauss(mean, sqrt(mean))))
    count, product, least = 0, faults.random(), exp(-mean)
    while product > least:
        count, product = count + 1, product * faults.random()
    return count
