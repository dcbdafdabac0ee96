"""Fault plans: which faults the twin injects and how often, and the random decisions, which a seed makes repeatable.

This module only decides; the servers inject the faults.
"""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from model.text import read_text

# Fields that are shares, from 0 to 1.
_SHARES = ("duplicate", "lose_acks", "reorder", "late", "errors", "slow_reads", "resets")

# Longest delay, in seconds.
_LONGEST_S = 600.0


class FaultPlanError(ValueError):
    """An invalid plan; the message names the field and the allowed values."""


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """The faults to inject. Shares (0 to 1) are of messages, deliveries, acks or requests; times are in seconds.

    Pub/Sub: `duplicate` messages are delivered twice; `lose_acks` acks are ignored; `reorder` messages are overtaken;
    every message waits up to `delay_s`; the leases of `late` deliveries have expired on arrival. Storage: `slow_reads`
    take `slow_s` longer; `resets` reset the connection, half of them after the request was processed. Both: `errors`
    start a burst of `burst` refused requests. Messages with an ordering key are not duplicated, delayed or reordered.
    """

    seed: int = 0
    duplicate: float = 0.0
    lose_acks: float = 0.0
    delay_s: float = 0.0
    reorder: float = 0.0
    late: float = 0.0
    errors: float = 0.0
    burst: int = 1
    slow_reads: float = 0.0
    slow_s: float = 0.5
    resets: float = 0.0

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            whole = each.name in ("seed", "burst")
            if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
                raise FaultPlanError(f"{each.name} is {value!r}; it must be a {'whole ' if whole else ''}number")
            if each.name in _SHARES and not 0 <= value <= 1:
                raise FaultPlanError(f"{each.name} is {value}; it must be a share from 0 to 1")
            if each.name.endswith("_s") and not (math.isfinite(value) and 0 <= value <= _LONGEST_S):
                raise FaultPlanError(f"{each.name} is {value}; it must be from 0 to {_LONGEST_S:g} seconds")
        if not 1 <= self.burst <= 1000:
            raise FaultPlanError(f"burst is {self.burst}; it must be from 1 to 1000 requests")

    @classmethod
    def parse(cls, text: str) -> FaultPlan:
        """Parse `key=value,key=value`, or read a YAML or JSON file."""
        if "=" in text and not Path(text).is_file():
            pairs = [each.partition("=") for each in text.split(",") if each.strip()]
            return cls.of({key.strip(): yaml.safe_load(value) for key, _, value in pairs})
        try:
            content = yaml.safe_load(read_text(Path(text)))
        except OSError as exc:
            raise FaultPlanError(f"{text} is neither key=value,... nor a file that can be read") from exc
        except (yaml.YAMLError, ValueError) as exc:
            raise FaultPlanError(f"{text} is neither YAML nor JSON") from exc
        return cls.of(content or {})

    @classmethod
    def of(cls, given: Any) -> FaultPlan:
        """A plan from a mapping of its fields."""
        if not isinstance(given, Mapping):
            raise FaultPlanError("a fault plan must be a mapping of fields to values, such as errors: 0.1")
        known = [each.name for each in fields(cls)]
        if unknown := [name for name in given if name not in known]:
            raise FaultPlanError(f"{unknown[0]!r} is not a field of a fault plan; the fields are {', '.join(known)}")
        return cls(**given)


class FaultInjector:
    """Decides about faults in one part of the twin, from any thread. The seed fixes each kind's n-th decision."""

    def __init__(self, plan: FaultPlan, part: str) -> None:
        self.plan = plan
        self._part = part
        self._kinds: dict[str, random.Random] = {}
        self._refusing = 0
        self._lock = threading.Lock()

    def happens(self, kind: str) -> bool:
        """Whether this fault happens now; `kind` is a field of the plan that holds a share."""
        share = getattr(self.plan, kind)
        return bool(share) and self.number(kind) < share

    def number(self, kind: str) -> float:
        """A number from 0 to 1. Each kind has its own sequence, so that kinds do not influence each other."""
        with self._lock:
            seed = f"{self.plan.seed}/{self._part}/{kind}"
            sequence = self._kinds.setdefault(kind, random.Random(seed))  # nosec B311  # not for secrets
            return sequence.random()

    def refuses(self) -> bool:
        """Whether this request is refused, because a burst starts or continues."""
        begins = self.happens("errors")
        with self._lock:
            if self._refusing == 0 and begins:
                self._refusing = self.plan.burst
            refused = self._refusing > 0
            self._refusing -= refused
            return refused
