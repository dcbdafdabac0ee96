"""Simulates a burst from zero in time steps: waiting images, running instances, latency.

The simulation counts images and does not follow single ones, so a billion a day take no longer than a thousand. The
same seed gives the same result.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from math import ceil, exp, sqrt
from random import Random

from client.plan.prices import Behaviour
from client.plan.sizing import Size
from client.plan.workload import Workload

STEP_S, MAX_STEPS = 0.1, 100_000
"""Seconds of a step, and the most steps of a burst. A step is longer where a burst would need more of them."""

COLD_S = 10.0
"""Images of the first ten seconds count as cold, because instances start then; the others count as warm."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The end of a step: `waiting` images, `ready` instances, and the longest latency in seconds (0: no answer)."""

    at_s: float
    waiting: int
    ready: int
    latency_s: float


@dataclass(slots=True)
class Run:
    """The result of a simulation. `cold` and `warm` count the waits of images, measured in steps."""

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
        """Seconds until the latency settles, and a fifth more; at least COLD_S."""
        slow = [moment.at_s for moment in self.moments if moment.latency_s > 2 * self.base_s]
        return max(COLD_S, 1.2 * slow[-1] if slow else 0)

    def percentile(self, share: float, waits: Counter[int] | None = None) -> float:
        """Return the seconds within which this share of the images is answered; `waits` selects some of them."""
        waits = self.cold + self.warm if waits is None else waits
        left = share * waits.total()
        for wait in sorted(waits):
            left -= waits[wait]
            if left <= 0:
                return self.base_s + wait * self.step_s
        return self.base_s


def simulate(load: Workload, size: Size, behaviour: Behaviour, seed: int) -> Run:
    """Simulate one burst until its last image is answered.

    Push starts instances as its window fills; all instances of a pool run from the beginning. Pub/Sub's push window
    starts at `push_window` and doubles with each round of answers. No instance stops during a burst.
    """
    generator, step_s = Random(seed), max(STEP_S, load.burst_s / MAX_STEPS)  # nosec B311  # not used for secrets
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
        new = _poisson(generator, load.peak_per_s * min(step_s, max(0.0, load.burst_s - now)))
        if new := new or int(not step):  # a burst has at least one image
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
            requested = ready + sum(count for _, count in starting)
            if wanted > requested:
                starting.append((now + size.start_s, wanted - requested))
        run.moments.append(Moment(now + step_s, waiting, ready, run.base_s + longest * step_s if served else 0.0))
        step += 1
    return run


def _serve(run: Run, queue: deque[tuple[int, int]], step: int, served: int) -> int:
    """Answer the oldest images, and return the steps that the first of them, which waited longest, has waited."""
    longest = step - queue[0][0] if served else 0
    while served:
        came, count = queue.popleft()
        done, wait = min(count, served), step - came
        (run.cold if came * run.step_s < COLD_S else run.warm)[wait] += done
        served -= done
        if done < count:
            queue.appendleft((came, count - done))
    return longest


def _wanted(size: Size, behaviour: Behaviour, in_flight: float, per_s: float) -> int:
    """Return the instances that Cloud Run starts for the requests in flight and for the CPU in use."""
    by_requests = in_flight / (size.concurrency * behaviour.utilisation)
    by_cpu = per_s / (size.per_s * behaviour.utilisation)
    return min(size.max_instances, ceil(max(by_requests, by_cpu)))


def _poisson(generator: Random, mean: float) -> int:
    """Draw a number of arrivals: by Knuth's product for a small mean, from the normal distribution for a large one."""
    if mean > 50:
        return max(0, round(generator.gauss(mean, sqrt(mean))))
    count, product, least = 0, generator.random(), exp(-mean)
    while product > least:
        count, product = count + 1, product * generator.random()
    return count
