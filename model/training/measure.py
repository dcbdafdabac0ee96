"""Measuring: accuracy against labels, agreement between engines, speed and cold start."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt

from model.engine import Engine, Images, Scores
from model.training.errors import MeasureError

_ROOT = Path(__file__).resolve().parents[2]
_FIRST_SCORE = """
import sys
from pathlib import Path
import numpy
from model.artifact import load_engine, read_artifact
artifact = read_artifact(Path(sys.argv[1]))
signature = artifact.signature
engine = load_engine(artifact, sys.argv[2])[1]
engine.score(numpy.zeros((1, signature.height, signature.width, signature.channels), signature.dtype))
"""


@dataclass(frozen=True, slots=True)
class Parity:
    """How two engines compare on the same images: the share of other best labels, the largest difference of a score."""

    images: int
    disagreement: float
    max_difference: float


@dataclass(frozen=True, slots=True)
class Speed:
    """Images per second one at a time and 32 at a time on one thread; seconds from process start to the first score."""

    single: float
    batched: float
    cold_start_s: float


def score_all(engine: Engine, images: Images, batch: int = 500) -> Scores:
    """Scores [N, labels] of many images, a batch at a time."""
    return np.concatenate([engine.score(images[start : start + batch]) for start in range(0, len(images), batch)])


def compare(scores: Scores, reference: Scores) -> Parity:
    """Compare two scorings [N, labels] of the same images; a score that is not a number differs infinitely."""
    difference = np.nan_to_num(np.abs(scores - reference), nan=np.inf)
    other = scores.argmax(axis=1) != reference.argmax(axis=1)
    return Parity(len(scores), float(other.mean()), float(difference.max()))


def recall(best: npt.NDArray[np.intp], labels: npt.NDArray[np.int64], count: int) -> list[float | None]:
    """For each of `count` classes the share of its images that were recognised; None for a class without images."""
    return [float((best[labels == n] == n).mean()) if (labels == n).any() else None for n in range(count)]


def measure_speed(engine: Engine, cold_start_s: float, seconds: float = 1.0) -> Speed:
    """Score noise of the engine's own shape for about `seconds` at each batch size."""
    return Speed(_rate(engine, 1, seconds), _rate(engine, 32, seconds), cold_start_s)


def measure_cold_start(folder: Path, engine: str, runs: int = 3) -> float:
    """The median of `runs` new processes: seconds from process start to the end of the first score."""
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        command = [sys.executable, "-c", _FIRST_SCORE, str(folder.resolve()), engine]
        done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise MeasureError(f"{engine} does not start: {done.stderr.strip().splitlines()[-1:]}")
        times.append(time.perf_counter() - began)
    return median(times)


def _rate(engine: Engine, batch: int, seconds: float) -> float:
    signature = engine.signature
    shape = batch, signature.height, signature.width, signature.channels
    images = np.random.default_rng(0).random(shape).astype(signature.dtype)
    for _ in range(5):
        engine.score(images)
    scored, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        engine.score(images)
        scored += batch
    return scored / (time.perf_counter() - began)
