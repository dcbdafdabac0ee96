"""The plan of a fault run: faults to inject, their counts, and the seeded random generator that times them."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass
from typing import Literal

Delivery = Literal["push", "pull", "kafka"]
Backend = Literal["embedded", "google", "kafka"]

_LONGEST_LIFE = 6
"""Limits the publishes before a kill between publish and ack: each life makes some progress, so that a run ends."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A run. Seconds throughout; `between` is how many times a worker dies exactly between publish and ack.

    Between two kills of a worker, and of the broker, lies a time from half to one and a half of what is said here; 0:
    none. `doomed` requests are such that nothing can answer them; `fault_plan`: whether broker and storage have one. A
    pull worker has so many `processes`, which are killed together. Every `swap_every_s` seconds the alias of the model
    moves to the other one of two versions; 0: the workers serve the shipped model.

    On Kafka: a worker leaves and comes back every `rebalance_every_s` seconds, one is killed each time that `kill_each`
    further requests are answered, and with `transactions` no reader of committed messages may see a copy.
    """

    requests: int = 2000
    delivery: Delivery = "push"
    backend: Backend = "embedded"
    between: int = 200
    kill_every_s: float = 3.0
    broker_every_s: float = 20.0
    fault_plan: bool = True
    doomed: int = 3
    workers: int = 2
    processes: int = 1
    response_store: bool = False
    swap_every_s: float = 0.0
    rebalance_every_s: float = 0.0
    kill_each: int = 0
    transactions: bool = False
    seed: int = 1
    quiet_s: float = 120.0
    settle_s: float = 25.0


class FaultCounts:
    """Counts of the injected faults; thread-safe."""

    def __init__(self, plan: Plan) -> None:
        self._lock = threading.Lock()
        self._random = random.Random(plan.seed)
        self._wanted = plan.between
        self.between = self.kills = self.broker = self.unasked = self.swaps = self.rebalances = 0

    def life(self) -> int | None:
        """The publish at which to kill the next worker; None after enough kills."""
        with self._lock:
            return self._random.randint(1, _LONGEST_LIFE) if self.between < self._wanted else None

    def enough(self) -> bool:
        """Whether workers died often enough between publish and ack."""
        return self.between >= self._wanted

    def pause(self, about_s: float) -> float:
        """The time until the next kill, in seconds."""
        with self._lock:
            return about_s * self._random.uniform(0.5, 1.5)

    def count(self, what: str) -> None:
        """One more: `between`, `kills`, `broker`, `swaps`, `rebalances`, or `unasked`, a worker that died by itself."""
        with self._lock:
            setattr(self, what, getattr(self, what) + 1)

    def __str__(self) -> str:
        return (
            f"killed: workers={self.kills} between_publish_and_ack={self.between} broker={self.broker} "
            f"died_unasked={self.unasked} swaps={self.swaps}"
        ) + (f" rebalances={self.rebalances}" if self.rebalances else "")
