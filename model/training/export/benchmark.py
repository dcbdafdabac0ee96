"""Measuring engines: agreement with a reference; speed, cold start and memory, each in a process of its own."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from model.artifact.load import open_engine, read_artifact
from model.engines.base import Engine, Images, Scores
from model.training.errors import MeasureError

BATCHES = 1, 8, 32
THREADS = 1, 2

_ROOT = Path(__file__).resolve().parents[3]
_SLICES, _SLICE_S = 10, 0.05
_WARM_S, _LONG_S = 0.5, 1.0


@dataclass(frozen=True, slots=True)
class Parity:
    """How two engines compare on the same images: the share of other best labels, the largest difference of a score."""

    images: int
    disagreement: float
    max_difference: float


@dataclass(frozen=True, slots=True)
class Speed:
    """`rates`: images per second by (CPU threads, images) of a call; seconds from process start to the first score;
    peak resident bytes of a process that scores with one thread. `rounds`: what `images_per_second` was in each round
    of measuring; round i of two speeds that were measured together was taken in the same moments."""

    rates: Mapping[tuple[int, int], float]
    cold_start_s: float
    memory: int
    rounds: tuple[float, ...]

    @property
    def images_per_second(self) -> float:
        """One figure to rank by: the geometric mean of batch 1 and 32, since a worker meets trickles and floods."""
        return _overall(self.rates)

    @property
    def single(self) -> float:
        """Images per second one at a time, on one thread."""
        return self.rates[1, 1]

    @property
    def batched(self) -> float:
        """Images per second 32 at a time, on one thread."""
        return self.rates[1, 32]


@dataclass(frozen=True, slots=True)
class Target:
    """What is measured: an engine of the artifact in `folder`, with `model` in place of the engine's own file."""

    folder: Path
    engine: str
    model: Path


def score_all(engine: Engine, images: Images, batch: int = 32) -> Scores:
    """Scores [N, labels] of many images, a batch at a time."""
    return np.concatenate([engine.score(images[start : start + batch]) for start in range(0, len(images), batch)])


def compare(scores: Scores, reference: Scores) -> Parity:
    """Compare two scorings [N, labels] of the same images; a score that is not a number differs infinitely."""
    difference = np.nan_to_num(np.abs(scores - reference), nan=np.inf)
    other = scores.argmax(axis=1) != reference.argmax(axis=1)
    return Parity(len(scores), float(other.mean()), float(difference.max()))


def measure_speeds(targets: Sequence[Target], rounds: int = 5) -> list[Speed]:
    """The medians of `rounds` measurements of each target, taken in turns, so that a busy minute hits all of them.

    Every measurement is a new process that loads the artifact and scores noise. Raises MeasureError when one fails.
    """
    found: list[list[_Round]] = [[] for _ in targets]
    for _ in range(rounds):
        for measured, target in zip(found, targets, strict=True):
            measured.append({threads: _run(target, threads) for threads in THREADS})
    return [_speed(measured) for measured in found]


def _speed(measured: Sequence[_Round]) -> Speed:
    each = [
        {(threads, batch): rate for threads, process in turn.items() for batch, rate in process.rates.items()}
        for turn in measured
    ]
    alone = [turn[THREADS[0]] for turn in measured]
    return Speed(
        {key: median(rates[key] for rates in each) for key in each[0]},
        median(process.cold_start_s for process in alone),
        round(median(process.memory for process in alone)),
        tuple(_overall(rates) for rates in each),
    )


def _overall(rates: Mapping[tuple[int, int], float]) -> float:
    return math.sqrt(rates[1, 1] * rates[1, 32])


@dataclass(frozen=True, slots=True)
class _Process:
    rates: dict[int, float]
    cold_start_s: float
    memory: int


_Round = dict[int, _Process]
"""What was measured in one turn, by the number of threads of a call."""


def _run(target: Target, threads: int) -> _Process:
    command = [sys.executable, "-m", __name__, str(target.folder), target.engine, str(target.model), str(threads)]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as talk:
        began = time.perf_counter()
        with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=talk, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            cold_start_s = time.perf_counter() - began
            figures = process.stdout.readline()
        if process.returncode:
            talk.seek(0)
            *_, why = talk.read().splitlines() or [f"its process ended with {process.returncode}"]
            raise MeasureError(f"{target.model.name} cannot be measured: {why}")
    rates, memory = json.loads(figures)
    return _Process(dict(zip(BATCHES, rates, strict=True)), cold_start_s, memory)


def _be_measured(folder: Path, name: str, model: Path, threads: int) -> None:
    """What a measured process does: one score at once, then how many a second it can, for each batch size."""
    signature = read_artifact(folder).signature
    engine = open_engine(name, model, signature, threads)
    engine.score(np.zeros((1, signature.height, signature.width, signature.channels), signature.dtype))
    print("ready", flush=True)
    rates = [_rate(engine, batch) for batch in BATCHES]
    print(json.dumps([rates, _peak_memory()]), flush=True)


def _rate(engine: Engine, batch: int) -> float:
    signature = engine.signature
    shape = batch, signature.height, signature.width, signature.channels
    images = np.random.default_rng(0).random(shape).astype(signature.dtype)
    began = time.perf_counter()
    for _ in range(5):
        engine.score(images)
        if time.perf_counter() - began > _WARM_S:
            break
    rates: list[float] = []
    began = time.perf_counter()
    while len(rates) < 3 or (len(rates) < _SLICES and time.perf_counter() - began < _LONG_S):
        rates.append(_slice(engine, images))
    return median(rates)


def _slice(engine: Engine, images: Images) -> float:
    """Images per second in a moment so short that the machine may do nothing else in most of them."""
    scored, began = 0, time.perf_counter()
    while time.perf_counter() - began < _SLICE_S:
        engine.score(images)
        scored += len(images)
    return scored / (time.perf_counter() - began)


def _peak_memory() -> int:
    """Resident bytes at most. Not getrusage on Linux: there it begins with what the parent held when it forked."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    _be_measured(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
