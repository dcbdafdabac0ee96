"""Steady load: images a second from first publish to last response; client, broker and worker share this machine."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from functions.contract import DEFAULT_TOP_K
from model.artifact import load_engine, read_artifact
from model.predictor import Predictor
from tests.bench.rig import DOORS, HTTP, rig
from tests.bench.rows import Row, row
from tests.bench.subjects import Subject

_DOORS = (*DOORS, HTTP)


def loads(subjects: Sequence[Subject], images: int, runs: int) -> list[Row]:
    """Images a second through push, pull and the same decoding and scoring without a broker."""
    rows = []
    for subject in subjects:
        files = subject.load(images)
        how = f"{len(files)} pictures of {sum(map(len, files)) / len(files) / 1000:.2g} kB"
        for engine in subject.engines:
            rates: dict[str, list[float]] = {name: [] for name in ("loop", *_DOORS)}
            for _ in range(runs):  # in turns: drift hits all alike
                rates["loop"].append(_loop(subject, engine, files))
                for door in _DOORS:
                    rates[door].append(_door(door, subject, engine, files))
            for name, rate in rates.items():
                rows.append(row(f"throughput.{subject.name}.{name}.{engine}", rate, "images/s", how=how))
            for door in _DOORS:
                shares = [each / loop for each, loop in zip(rates[door], rates["loop"], strict=True)]
                rows.append(row(f"throughput.{subject.name}.{door}.of the loop.{engine}", shares, "1", how=how))
    return rows


def _loop(subject: Subject, engine: str, files: list[bytes]) -> float:
    """What there is to do without a broker, by a thread a core, each with an interpreter of its own."""
    _, scoring = load_engine(read_artifact(subject.artifact), engine)
    predictor = Predictor(scoring)

    def work(image: bytes) -> None:
        predictor.predict(predictor.prepare(image), DEFAULT_TOP_K)

    cores = len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(cores) as threads:
        list(threads.map(work, files[: 2 * cores]))
        start = time.perf_counter()
        list(threads.map(work, files))
        seconds = time.perf_counter() - start
    scoring.close()
    return len(files) / seconds


def _door(door: str, subject: Subject, engine: str, files: list[bytes]) -> float:
    with rig(door, {"ARTIFACT": str(subject.artifact), "ENGINE": engine}) as tested:
        tested.warm(files)
        start = time.perf_counter()
        return len(files) / (tested.answer(files) - start)
