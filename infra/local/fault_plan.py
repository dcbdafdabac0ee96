"""Fault plans: what goes wrong, how often, and the dice that decide it; the same seed gives the same day.

Nothing fails here: the servers ask, and each makes its own trouble.
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

_SHARES = ("duplicate", "lose_acks", "reorder", "late", "errors", "slow_reads", "resets")
_LONGEST_S = 600.0


class FaultPlanError(ValueError):
    """A plan that cannot be followed; says which field and what is allowed."""


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """A plan of what goes wrong. Shares are from 0 to 1, of messages, deliveries, acks or requests; times in seconds.

    Pub/Sub: `duplicate` messages come twice; `lose_acks` are forgotten; `reorder` ones are overtaken; every message
    waits up to `delay_s`; `late` deliveries arrive when their lease has ended. Storage: `slow_reads` take `slow_s`
    longer; `resets` end the connection, half of them after the request was obeyed. Both: `errors` begin a burst of
    `burst` requests that are refused. Messages with an ordering key are not duplicated, delayed or reordered.
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
        """Read `key=value,key=value`, or the YAML or JSON file of that name."""
        if "=" in text and not Path(text).is_file():
            pairs = [each.partition("=") for each in text.split(",") if each.strip()]
            return cls.of({key.strip(): yaml.safe_load(value) for key, _, value in pairs})
        try:
            return cls.of(yaml.safe_load(Path(text).read_text(encoding="utf-8")) or {})
        except OSError as exc:
            raise FaultPlanError(f"{text} is neither key=value,... nor a file that can be read") from exc
        except (yaml.YAMLError, UnicodeDecodeError) as exc:
            raise FaultPlanError(f"{text} is neither YAML nor JSON") from exc

    @classmethod
    def of(cls, given: Any) -> FaultPlan:
        """A plan from fields by their names."""
        if not isinstance(given, Mapping):
            raise FaultPlanError("a fault plan must be fields with their values, such as errors: 0.1")
        known = [each.name for each in fields(cls)]
        if unknown := [name for name in given if name not in known]:
            raise FaultPlanError(f"{unknown[0]!r} is no field of a fault plan; there are {', '.join(known)}")
        return cls(**given)


class Faults:
    """The throws for one part of the twin; callable from any thread. The n-th throw of a kind is the same each day."""

    def __init__(self, day: FaultPlan, part: str) -> None:
        self.day = day
        self._part = part
        self._kinds: dict[str, random.Random] = {}
        self._refusing = 0
        self._lock = threading.Lock()

    def happens(self, kind: str) -> bool:
        """Whether it goes wrong this time; `kind` is a field that holds a share."""
        share = getattr(self.day, kind)
        return bool(share) and self.number(kind) < share

    def number(self, kind: str) -> float:
        """A number from 0 to 1; each kind has its own row of them, so that one kind does not disturb another."""
        with self._lock:
            row = self._kinds.setdefault(kind, random.Random(f"{self.day.seed}/{self._part}/{kind}"))  # nosec B311  # dice
            return row.random()

    def refuses(self) -> bool:
        """Whether this request is refused: a burst begins, or one goes on."""
        begins = self.happens("errors")
        with self._lock:
            if self._refusing == 0 and begins:
                self._refusing = self.day.burst
            refused = self._refusing > 0
            self._refusing -= refused
            return refused
