"""The time of each step of a start, and of each imported library.

The steps are taken in one process, without a server and without a stream: what a whole start takes longer is theirs.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise

from infra.local.twin import Twin
from tests.bench.parts import ROOT, as_the_image, pull_command, push_command
from tests.bench.rows import Row, row
from tests.bench.subjects import Subject

_MODULES = {
    entry_point: [word for word in command if word.startswith("functions.")]
    for entry_point, command in (("push", push_command(0)), ("pull", pull_command()))
}
"""The modules of each entry point's command: the last is the worker's, and those before it run it."""
_IMPORTED = re.compile(r"^import time: +(\d+) \| +\d+ \| +(\S+)", re.M)
_SHOWN = 12
"""Libraries that have a row of their own; the others share one."""


def stages(subjects: Sequence[Subject], runs: int) -> list[Row]:
    """Milliseconds of each step, for each model, entry point and engine."""
    settings = as_the_image()
    taken: dict[str, list[float]] = {}
    with Twin(worker=None) as twin:
        for _ in range(runs):
            for subject in subjects:
                for engine in subject.engines:
                    env = {**settings, **twin.env, "ENGINE": engine, "ARTIFACT": str(subject.artifact)}
                    for entry_point in _MODULES:
                        for step, ms in _steps(entry_point, env, subject.make_images(1)[0]).items():
                            taken.setdefault(f"start.{subject.name}.{entry_point}.{step}.{engine}", []).append(ms)
    return [row(name, found, "ms") for name, found in taken.items()]


def imports(runs: int) -> list[Row]:
    """Milliseconds that each library's modules take to import, dearest first; being measured they take longer."""
    settings = as_the_image()
    taken: dict[str, dict[str, list[float]]] = {}
    for number in range(runs):
        for entry_point, (*_, module) in _MODULES.items():
            for library, ms in _libraries(module, settings).items():
                found = taken.setdefault(library, {}).setdefault(entry_point, [0.0] * number)
                found.append(ms)
    ranked = sorted(taken.items(), key=lambda each: -sum(map(sum, each[1].values())))
    return [
        row(f"import.{library}.{entry_point}", found, "ms")
        for library, entry_points in ranked[:_SHOWN]
        for entry_point, found in entry_points.items()
    ]


def _steps(entry_point: str, env: Mapping[str, str], image: bytes) -> dict[str, float]:
    start = time.perf_counter()
    *before, module = _MODULES[entry_point]
    command = [sys.executable, "-m", *before, "tests.bench.starting", module]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **env}, input=image, capture_output=True, check=True)
    moments = json.loads(done.stdout.splitlines()[-1])
    pairs = pairwise([start, *moments.values()])
    return {step: 1000 * (end - begin) for step, (begin, end) in zip(moments, pairs, strict=True)}


def _libraries(module: str, env: Mapping[str, str]) -> dict[str, float]:
    command = [sys.executable, "-X", "importtime", "-c", f"import {module}"]
    said = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, check=True
    ).stderr
    found: dict[str, float] = {}
    for us, name in _IMPORTED.findall(said):
        top, *rest = name.split(".")
        library = "standard library" if top in sys.stdlib_module_names else top
        if top == "google" and rest:  # one name for many libraries
            library = ".".join([top, *rest[: 2 if rest[0] == "cloud" else 1]])
        library = library.replace(".", " ")  # a row's name has points of its own
        found[library] = found.get(library, 0.0) + int(us) / 1000
    return found
