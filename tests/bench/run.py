"""The parts of the benchmark: what each measures, as tables by the file that keeps their rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.bench.capacity import capacity
from tests.bench.cold import cold_starts
from tests.bench.concurrency import concurrency
from tests.bench.images import garments, photos
from tests.bench.latency import latencies
from tests.bench.load import loads
from tests.bench.memory import memory
from tests.bench.rows import Row
from tests.bench.selection import QUICK_RUNS, RUNS, selected
from tests.bench.stages import imports, stages
from tests.bench.subjects import SHIPPED, installed_engines, subjects
from tests.bench.swaps import swaps
from tests.bench.twin import twin

Table = tuple[str, list[Row]]
"""A title and its rows."""

PARTS = ("cold_start", "concurrency", "latency", "load", "memory", "plan", "swaps", "twin")


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for.

    `runs`: None for those of selection.py. `quick`: only what has ratios. `million`: also the twin's memory.
    """

    runs: int | None
    images: int
    requests: int
    models: Sequence[str]
    engines: Sequence[str]
    quick: bool
    million: bool


def measured(part: str, options: Options) -> Iterator[tuple[str, list[Table]]]:
    """Measure a part; the name of each file without `.json`, and its tables."""
    runs, images = options.runs or (QUICK_RUNS[part] if options.quick else RUNS), options.images
    if part == "plan":
        (shipped,) = subjects([SHIPPED], options.engines or installed_engines())
        for name, files in (("garments", garments(1000)), ("photos", photos(300))):
            yield f"plan-{name}", [(f"What plan calculates with: {name}", capacity(files, shipped.engines, runs))]
        return
    if part == "twin":
        yield part, [("The local twin", twin(runs, million=options.million))]
        return
    found = selected(part, options.models, options.engines, quick=options.quick)
    match part:
        case "cold_start":
            tables = [("From the start of the process to the first response", cold_starts(found, runs))]
            if not options.quick:
                tables.append(("Where the time goes, in one process", stages(found, runs)))
                tables.append(("Where the imports' time goes", imports(runs)))
            yield part, tables
        case "load":
            title = "Full load; client, broker and worker share the machine"
            yield "throughput", [(title, loads(found, images, runs))]
        case "memory":
            yield part, [("Memory of the worker's processes at full load", memory(found, options.requests))]
        case "latency":
            yield part, [("Requests at random moments, by batcher", latencies(found, images, runs))]
        case "swaps":
            yield part, [("While an alias moves between two versions", swaps(found, images, runs))]
        case "concurrency":
            yield part, [("Pushes at once, on one CPU, by the time of a publish", concurrency(found, images, runs))]
