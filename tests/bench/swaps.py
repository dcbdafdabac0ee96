"""Latency while an alias moves between two versions again and again, next to the latency of the same worker without it.

The two take turns on one worker, at a share of the full load, as in latency.py. The memory is that of the worker when
requests have been answered after the moves.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

import numpy as np

from functions.messages.contract import decode_response
from model.registry.aliases import Target
from model.registry.registry import Registry
from tests.bench.latency import open_loop
from tests.bench.parts import GIVE_UP_S, pss_mb
from tests.bench.rig import ENTRY_POINTS, HTTP, Rig, rig
from tests.bench.rows import Row, row
from tests.bench.subjects import Subject
from tests.registry_models import push, set_alias

SHARE, SECONDS, EVERY_S = 0.3, 10.0, 2.0
"""The share of the full load, the length of each turn, and the time between two moves of the alias."""

_AGE_S, _SETTLE_S = 1, 4.0
"""The age at which aliases are read again, and the time after which the model before is released."""

_UNITS = {"latency": "ms", "memory": "MB"}
_HOW = (
    f"open loop, Poisson arrivals at {SHARE:.0%} of the full load, turns of {SECONDS:g} s; the alias moves every "
    f"{EVERY_S:g} s and is read again after {_AGE_S} s"
)


def swaps(subjects: Sequence[Subject], images: int, runs: int) -> list[Row]:
    """Rows of milliseconds, and of MB, by model and entry point: without and with moves of the alias."""
    found: dict[str, list[float]] = {}
    for subject in subjects:
        with tempfile.TemporaryDirectory() as folder:
            registry = Registry.at(str(Path(folder, "registry")))
            targets = push(registry, Path(folder), "1.0.0", "2.0.0", name=subject.name, source=subject.artifact)
            set_alias(registry, targets[0], name=subject.name)
            settings = {"REGISTRY": registry.address, "MODELS": subject.name, "ALIASES_MAX_AGE_S": str(_AGE_S)}
            for entry_point in (*ENTRY_POINTS, HTTP):
                with rig(entry_point, settings) as tested:
                    moves = _Moves(registry, subject.name, targets, tested)
                    _measure(f"{subject.name}.{entry_point}", moves, subject.load(images), runs, found)
    return [row(name, values, _UNITS[name.partition(".")[0]], how=_HOW) for name, values in found.items()]


class _Moves:
    """Moves the alias of a worker's model."""

    def __init__(self, registry: Registry, name: str, targets: Sequence[Target], tested: Rig) -> None:
        self._registry, self._name, self.tested = registry, name, tested
        self._targets = cycle(targets)

    @contextmanager
    def moving(self, image: bytes) -> Iterator[None]:
        """Move during the block; afterwards the worker must serve what the alias names last. Raises TimeoutError."""
        ended, last = threading.Event(), ""

        def move() -> None:
            nonlocal last
            while not ended.wait(EVERY_S):
                target = next(self._targets)
                set_alias(self._registry, target, name=self._name)
                last = target.version

        moves = threading.Thread(target=move)
        moves.start()
        try:
            yield
        finally:
            ended.set()
            moves.join()
        give_up = time.monotonic() + GIVE_UP_S
        while self._served(image) != last:
            if time.monotonic() > give_up:
                raise TimeoutError(f"{self._name} {last} is not served {GIVE_UP_S:g} s after the alias moved")

    def _served(self, image: bytes) -> str:
        self.tested.answer([image])
        model = decode_response(self.tested.line.last).model
        return model.version if model else ""


def _measure(what: str, moves: _Moves, files: Sequence[bytes], runs: int, found: dict[str, list[float]]) -> None:
    tested = moves.tested
    tested.warm(files)
    start = time.perf_counter()
    rate = SHARE * len(files) / (tested.answer(files) - start)

    def keep(name: str, delays: Sequence[float]) -> None:
        for percent in (50, 99):
            found.setdefault(f"latency.{what}.p{percent}.{name}", []).append(float(np.percentile(delays, percent)))
        found.setdefault(f"memory.{what}.{name}", []).append(pss_mb(tested.pid))

    for _ in range(runs):
        keep("without", open_loop(tested, files, rate, SECONDS))
        with moves.moving(files[0]):
            delays = open_loop(tested, files, rate, SECONDS)
        open_loop(tested, files, rate, _SETTLE_S)
        keep("with moves", delays)
