"""Steady load: images a second from first publish to last response; client, broker and worker share this machine."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import mean

from functions.messages.contract import DEFAULT_TOP_K
from model.artifact.load import load_engine, read_artifact
from model.predictor import Predictor
from tests.bench import kafka
from tests.bench.rig import ENTRY_POINTS, HTTP, KAFKA, entry_points, rig
from tests.bench.rows import Row, row
from tests.bench.subjects import Subject

_CORES = len(os.sched_getaffinity(0))
_PROCESSES = {"WORKER_PROCESSES": str(_CORES)}


def _ways() -> dict[str, tuple[str, dict[str, str], int]]:
    """An entry point, settings, and the images in a message, by name."""
    over_kafka = {"kafka.in transactions": (KAFKA, {"KAFKA_TRANSACTIONS": "on"}, 1)} if kafka.is_there() else {}
    return {
        **{entry_point: (entry_point, {}, 1) for entry_point in (*entry_points(), HTTP)},
        **over_kafka,
        **{f"{entry_point}.a process a core": (entry_point, _PROCESSES, 1) for entry_point in (*ENTRY_POINTS, HTTP)},
        **{f"{entry_point}.32 a message": (entry_point, {}, 32) for entry_point in ENTRY_POINTS},
        **{
            f"{entry_point}.32 a message, a process a core": (entry_point, _PROCESSES, 32)
            for entry_point in ENTRY_POINTS
        },
    }


def loads(subjects: Sequence[Subject], images: int, runs: int) -> list[Row]:
    """Images a second through each entry point, and the same decoding and scoring without a broker."""
    rows, ways = [], _ways()
    for subject in subjects:
        files = subject.load(images)
        how = f"{len(files)} images of {sum(map(len, files)) / len(files) / 1000:.2g} kB"
        for engine in subject.engines:
            loops = [_loop(subject, engine, files)]
            rates: dict[str, list[float]] = {name: [] for name in ways}
            shares: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(runs):
                for name, (entry_point, settings, several) in ways.items():
                    rates[name].append(_entry_point(entry_point, settings, several, subject, engine, files))
                    loops.append(_loop(subject, engine, files))  # before and after: the machine's speed drifts
                    shares[name].append(rates[name][-1] / mean(loops[-2:]))
            for name, rate in {"loop": loops, **rates}.items():
                rows.append(row(f"throughput.{subject.name}.{name}.{engine}", rate, "images/s", how=how))
            for name, share in shares.items():
                rows.append(row(f"throughput.{subject.name}.{name}.of the loop.{engine}", share, "1", how=how))
    return rows


def _loop(subject: Subject, engine: str, files: list[bytes]) -> float:
    """What there is to do without a broker, by a thread a core, each with an interpreter of its own."""
    _, scoring = load_engine(read_artifact(subject.artifact), engine)
    predictor = Predictor(scoring)

    def work(image: bytes) -> None:
        predictor.predict(predictor.prepare(image), DEFAULT_TOP_K)

    with ThreadPoolExecutor(_CORES) as threads:
        list(threads.map(work, files[: 2 * _CORES]))
        start = time.perf_counter()
        list(threads.map(work, files))
        seconds = time.perf_counter() - start
    scoring.close()
    return len(files) / seconds


def _entry_point(
    entry_point: str, settings: Mapping[str, str], several: int, subject: Subject, engine: str, files: list[bytes]
) -> float:
    with rig(entry_point, {**settings, "ARTIFACT": str(subject.artifact), "ENGINE": engine}, several) as tested:
        tested.warm(files)
        start = time.perf_counter()
        return len(files) / (tested.answer(files) - start)
