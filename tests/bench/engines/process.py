"""A measured process: `python -m tests.bench.engines.process MODEL WAY FOLDER TYPE EDGE...`, of an input's tensor.

It opens the model and scores one image. For each line on stdin, a batch size, it scores such batches and prints the
processor time and the time for an image; at the end, its memory and its outputs.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from functions.runtime.memory_tuning import release_large_blocks
from tests.bench.engines.ways import BATCHES, LIBRARIES, WAYS, Run, Tensor
from tests.bench.parts import pss_mb

_SLICE_S = 0.1
"""Processor time of a measurement: so short that both ways of a pair meet the same load."""


def main() -> None:
    """Measure one way to run one model."""
    path, way, folder, dtype, *edges = sys.argv[1:]
    suffix = Path(path).suffix
    images = _images(tuple(map(int, edges)), dtype, max(BATCHES))
    release_large_blocks()  # as the worker does
    importlib.import_module(LIBRARIES[suffix])  # how long that takes is the same for all ways
    before, cpu_before = time.perf_counter(), time.process_time()
    run = WAYS[suffix][way](Path(path), Path(folder))
    first = run(images[:1])
    taken = [time.process_time() - cpu_before, time.perf_counter() - before]
    print(json.dumps([1000 * each for each in taken]), flush=True)
    for line in sys.stdin:
        print(json.dumps(_measured(run, images[: int(line)])), flush=True)
    digest = hashlib.sha256(np.ascontiguousarray(first).tobytes()).hexdigest()
    print(json.dumps([pss_mb(os.getpid()), digest]), flush=True)


def _measured(run: Run, images: Tensor) -> list[float]:
    """Milliseconds for an image: processor time of all threads, and time."""
    run(images)
    count, before, cpu_before = 0, time.perf_counter(), time.process_time()
    while (cpu := time.process_time() - cpu_before) < _SLICE_S:
        run(images)
        count += len(images)
    return [1000 * cpu / count, 1000 * (time.perf_counter() - before) / count]


def _images(shape: tuple[int, ...], dtype: str, count: int) -> Tensor:
    numbers = np.random.default_rng(0)
    if dtype == "float32":
        return numbers.random((count, *shape), np.float32)
    limits = np.iinfo(dtype)
    return numbers.integers(limits.min, limits.max, (count, *shape), dtype, endpoint=True)


if __name__ == "__main__":
    main()
