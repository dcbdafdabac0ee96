"""Measuring: accuracy against labels, agreement between engines, speed and cold start."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt

from model.artifact import load_engine, read_artifact
from model.engine import Engine, Images, Scores
from model.training.errors import MeasureError

_ROOT = Path(__file__).resolve().parents[2]


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

    @property
    def images_per_second(self) -> float:
        """One figure to rank engines by: the geometric mean of both rates, since a worker meets trickles and floods."""
        return math.sqrt(self.single * self.batched)


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


def measure_speed(folder: Path, engine: str, runs: int = 3) -> Speed:
    """The medians of `runs` new processes, each of which loads the artifact in `folder` and scores noise.

    Raises MeasureError when one of them fails.
    """
    speeds = [_measure_once(folder, engine) for _ in range(runs)]
    return Speed(*(median(figures) for figures in zip(*map(astuple, speeds), strict=True)))


def _measure_once(folder: Path, engine: str) -> Speed:
    command = [sys.executable, "-m", __name__, str(folder.resolve()), engine]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as talk:
        began = time.perf_counter()
        with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=talk, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            cold_start_s = time.perf_counter() - began
            figures = process.stdout.readline()
        if process.returncode:
            talk.seek(0)
            raise MeasureError(f"{engine} cannot be measured: {talk.read().strip()[-500:]}")
    single, batched = json.loads(figures)
    return Speed(single, batched, cold_start_s)


def _be_measured(folder: Path, name: str) -> None:
    """What a measured process does: one score at once, then as many as fit into a second, by one and by 32."""
    artifact = read_artifact(folder)
    signature = artifact.signature
    _, engine = load_engine(artifact, name)
    engine.score(np.zeros((1, signature.height, signature.width, signature.channels), signature.dtype))
    print("ready", flush=True)
    print(json.dumps([_rate(engine, 1), _rate(engine, 32)]), flush=True)


def _rate(engine: Engine, batch: int, seconds: float = 1.0) -> float:
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


if __name__ == "__main__":
    _be_measured(Path(sys.argv[1]), sys.argv[2])
