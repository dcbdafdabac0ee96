"""Which models and engines each part of the benchmark measures by default: those that tell something new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.bench.subjects import SHIPPED, USUAL, YARDSTICK, Subject, installed_engines, subjects

_LITERT, _BOTH = ("litert",), ("litert", "savedmodel")

WHOLE: Mapping[str, Mapping[str, Sequence[str]]] = {
    "cold_start": {YARDSTICK: _BOTH, "mobilenet-v2": _LITERT, "mobilenet-v1": _BOTH},
    "load": {YARDSTICK: _LITERT, SHIPPED: _LITERT, "mobilenet-v2": _LITERT},
    "memory": {SHIPPED: _LITERT},
    "latency": {SHIPPED: _LITERT},
    "swaps": {SHIPPED: _LITERT},
    "concurrency": {SHIPPED: _LITERT},
}
"""Engines by part and model. What TensorFlow costs is measured by cold_start, by plan, and next to the peers."""

QUICK: Mapping[str, Mapping[str, Sequence[str]]] = {
    "cold_start": {YARDSTICK: _BOTH},
    "load": {YARDSTICK: _LITERT},
    "latency": {YARDSTICK: _LITERT},
}

RUNS = 3
QUICK_RUNS = {"cold_start": 2, "load": 2, "latency": 1}
"""How often a part repeats what it measures, unless --runs says it. The quick ones fit into 5 minutes on two CPUs."""


def selected(part: str, models: Sequence[str], engines: Sequence[str], *, quick: bool) -> list[Subject]:
    """The available subjects of a part. Models or engines that the user names replace the default of every part."""
    if models or engines:
        return subjects(models or USUAL, engines or installed_engines())
    given = (QUICK if quick else WHOLE)[part]
    return [each for name, wanted in given.items() for each in subjects([name], wanted)]
