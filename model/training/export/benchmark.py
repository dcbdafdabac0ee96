"""Measures engines: agreement with a reference, and speed, cold start and memory in separate processes."""

from __future__ import annotations

import json
import math
import re
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
from model.metrics import Mask
from model.text import shortened
from model.training.errors import MeasureError
from model.training.export.progress import Progress

# Images per call, and CPU threads per call, that are measured.
BATCHES = 1, 8, 32
THREADS = 1, 2

_ROOT = Path(__file__).resolve().parents[3]

# A rate is the median of up to _SLICES slices of _SLICE_S seconds each.
_SLICES, _SLICE_S = 10, 0.05

# Seconds of warm-up, and at most of all slices together.
_WARM_S, _LONG_S = 0.5, 1.0


@dataclass(frozen=True, slots=True)
class Parity:
    """Agreement of two engines on the same images: the share with another label, and the largest difference."""

    images: int
    disagreement: float
    max_difference: float


@dataclass(frozen=True, slots=True)
class Speed:
    """`rates`: images per second by (CPU threads, images) of a call; `cold_start_s`: seconds from process start to the
    first score; `memory`: peak resident bytes of a process that scores with one thread; `rounds`: the value of
    `images_per_second` in each round of measuring. Round i of speeds measured together ran at the same time."""

    rates: Mapping[tuple[int, int], float]
    cold_start_s: float
    memory: int
    rounds: tuple[float, ...]

    @property
    def images_per_second(self) -> float:
        """The figure for ranking: the geometric mean of batch 1 and 32, because workers meet low and high load."""
        return _overall(self.rates)

    @property
    def single(self) -> float:
        """Images per second in batches of 1, on one thread."""
        return self.rates[1, 1]

    @property
    def batched(self) -> float:
        """Images per second in batches of 32, on one thread."""
        return self.rates[1, 32]


@dataclass(frozen=True, slots=True)
class Target:
    """An engine to measure: one of the artifact in `folder`, with `model` instead of the artifact's own file."""

    folder: Path
    engine: str
    model: Path


def score_all(engine: Engine, images: Images, batch: int = 32) -> Scores:
    """Scores [N, labels] of many images, computed in batches."""
    return np.concatenate([engine.score(images[start : start + batch]) for start in range(0, len(images), batch)])


def same_labels(scores: Scores, reference: Scores, cut: float | None) -> Mask:
    """Whether an image has the same labels [N] by two arrays of scores [N, labels]: the best one, or those with a score
    of at least `cut`."""
    if cut is None:
        return np.asarray(scores.argmax(axis=1) == reference.argmax(axis=1))
    return np.asarray(((scores >= cut) == (reference >= cut)).all(axis=1))


def compare(scores: Scores, reference: Scores, cut: float | None = None) -> Parity:
    """Compare two arrays of scores [N, labels] for the same images; a NaN counts as an infinite difference.

    `cut`: the threshold of a multi-label model.
    """
    difference = np.nan_to_num(np.abs(scores - reference), nan=np.inf)
    other = ~same_labels(scores, reference, cut)
    return Parity(len(scores), float(other.mean()), float(difference.max()))


def measure_speeds(targets: Sequence[Target], rounds: int = 5) -> list[Speed]:
    """The medians of `rounds` measurements of each target. The targets take turns, so that load affects all of them.

    Every measurement is a new process that loads the artifact and scores noise. Raises MeasureError when one fails.
    """
    found: list[list[_Round]] = [[] for _ in targets]
    progress = Progress("speed", rounds * len(targets) * len(THREADS))
    for _ in range(rounds):
        for measured, target in zip(found, targets, strict=True):
            measured.append({threads: _run(target, threads, progress) for threads in THREADS})
    progress.end()
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


# The measurements of one round, by the number of threads of a call.
_Round = dict[int, _Process]


def _run(target: Target, threads: int, progress: Progress) -> _Process:
    progress.begin(f"{target.model.name}, {threads} thread{'s' if threads > 1 else ''}")
    command = [sys.executable, "-m", __name__, str(target.folder), target.engine, str(target.model), str(threads)]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as log:
        began = time.perf_counter()
        with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=log, text=True) as process:
            assert process.stdout is not None
            try:
                process.stdout.readline()
                cold_start_s = time.perf_counter() - began
                figures = process.stdout.readline()
            except KeyboardInterrupt:  # a signal to this process alone
                process.kill()
                raise
        if process.returncode:
            log.seek(0)
            *_, why = log.read().splitlines() or [f"its process ended with {process.returncode}"]
            why = re.sub(r"^[\w.]+: ", "", why)  # without the class of the exception
            raise MeasureError(f"{target.model.name} cannot be measured: {shortened(why, 200)}")
    rates, memory = json.loads(figures)
    return _Process(dict(zip(BATCHES, rates, strict=True)), cold_start_s, memory)


def _measured_process(folder: Path, name: str, model: Path, threads: int) -> None:
    """The measured process: report the first score, then the images per second for each batch size."""
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
    """Images per second in a slice so short that other processes disturb only few of them."""
    scored, began = 0, time.perf_counter()
    while time.perf_counter() - began < _SLICE_S:
        engine.score(images)
        scored += len(images)
    return scored / (time.perf_counter() - began)


def _peak_memory() -> int:
    """Peak resident bytes. On Linux not from getrusage, which counts the parent's memory before the fork too."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    _measured_process(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
