"""Imports a model as a user does, and measures what is served."""

from __future__ import annotations

import io
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from model.__main__ import main as model
from model.artifact.load import AUTO, engine_bytes, load_engine, read_artifact
from model.engines.base import Engine, Images
from model.predictor import Predictor
from tests.bench.imports.subject import Made, NotInstalled, Photos, Subject
from tests.bench.parts import ROOT

BATCH = 32
BOTH_ENGINES = "Keras 3", "Keras 2", "TensorFlow", "Teachable Machine"
"""Tools whose models would be exported for two engines, which takes twice as long."""

_SINGLE = 40
"""Images that are scored one by one for the speed."""


class Refused(Exception):
    """The import refuses a model for good; the message is its sentence."""


@dataclass(slots=True)
class Result:
    """A row of the table. `different`: how many best labels the photos get; `same`: the share of photos with the same
    best label; `difference`: the largest one of a score; `speed`: images per second of processor time, one by one and
    in batches; `cold_seconds`: processor time of a cold start, 0 when not measured; `fault`: why there is no
    measurement."""

    tool: str
    name: str
    real: bool
    command: str = ""
    asked: Sequence[str] = ()
    engine: str = ""
    labels: int = 0
    different: int = 0
    same: float = 0.0
    difference: float = 0.0
    speed: float = 0.0
    batched_speed: float = 0.0
    size_bytes: int = 0
    cold_seconds: float = 0.0
    fault: str = ""


def measured(subject: Subject, photos: Photos) -> Result:
    """Make, import and measure a model in the current folder."""
    result = Result(subject.tool, subject.name, subject.real)
    try:
        made = subject.make()
        result.command, result.asked = imported(made.source, subject)
        _measure(made, photos, result)
    except Exception as exc:
        result.fault = _fault(exc)
    return result


def _fault(exc: Exception) -> str:
    return str(exc) if isinstance(exc, Refused) else f"{type(exc).__name__}: {exc}".splitlines()[0]


def measured_by_engine(subject: Subject, photos: Photos) -> list[Result]:
    """Make, import and measure a model in the current folder with each engine of its artifact, and its cold starts.

    `size_bytes` are those that the engine loads. Raises NotInstalled.
    """
    result = Result(subject.tool, subject.name, subject.real)
    try:
        made = subject.make()
        result.command, result.asked = imported(made.source, subject)
        artifact, found = read_artifact(Path("artifact")), []
        for name in artifact.engines:
            found.append(replace(result))
            _measure(made, photos, found[-1], name)
            found[-1].size_bytes = engine_bytes(artifact, name)
            found[-1].cold_seconds = cold_seconds(artifact.folder, name)
        return found
    except NotInstalled:
        raise
    except Exception as exc:
        return [replace(result, fault=_fault(exc))]


def cold_seconds(artifact: Path, engine: str, runs: int = 5) -> float:
    """Seconds of processor time of a new process that scores one image (see cold_start.py): the median of `runs`."""
    command = [sys.executable, "-m", "tests.bench.imports.cold_start", str(artifact.absolute()), engine]
    taken = []
    for _ in range(runs):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return median(taken)


def imported(source: str, subject: Subject) -> tuple[str, list[str]]:
    """Import without answers, and again with each answer that the import asks for. Returns the options of the last
    import as a user types them, and those that were asked for. Raises Refused."""
    given: list[str] = []
    left = {answer.partition("=")[0]: answer for answer in subject.answers}
    engines = ["--engines=litert"] if subject.tool in BOTH_ENGINES else []
    while message := _import(source, *subject.fixed, *given, *engines):
        # A recipe answers the question for --pixels.
        named = [flag for flag in left if flag in message or (flag == "--recipe" and "--pixels" in message)]
        if not named:
            raise Refused(message)
        given.append(left.pop(named[0]))
    words = " ".join(each.replace("=", " ", 1) for each in (source, *subject.fixed, *given))
    return words, [each.partition("=")[0] for each in given]


def _import(*words: str) -> str:
    """The last line on stderr of an import that fails, else nothing."""
    stderr = io.StringIO()
    with redirect_stderr(stderr), redirect_stdout(io.StringIO()):
        code = model(["import", *words, "--quick", "--out=artifact"])
    return stderr.getvalue().strip().splitlines()[-1] if code else ""


def _measure(made: Made, photos: Photos, result: Result, engine_name: str = AUTO) -> None:
    artifact = read_artifact(Path("artifact"))
    result.engine, engine = load_engine(artifact, engine_name)
    predictor = Predictor(engine)
    images = np.concatenate([predictor.prepare(each) for each in photos.data])
    result.batched_speed, scores = _timed(engine, images, BATCH)
    result.speed, _ = _timed(engine, images[:_SINGLE], 1)
    own = made.score(images)
    best = scores.argmax(axis=1)
    result.labels, result.different = scores.shape[1], len(set(best.tolist()))
    result.same = float((best == own.argmax(axis=1)).mean())
    result.difference = float(np.abs(scores - own).max())
    result.size_bytes = sum(file.stat().st_size for file in artifact.folder.rglob("*") if file.is_file())
    engine.close()


def _timed(engine: Engine, images: Images, batch: int) -> tuple[float, Any]:
    """Images per second of processor time in full batches (the median), and all scores."""
    engine.score(images[:batch])  # memory is allocated at the first call
    rates, rows = [], []
    for start in range(0, len(images), batch):
        part = images[start : start + batch]
        began = time.process_time()
        rows.append(engine.score(part))
        if len(part) == batch:
            rates.append(batch / (time.process_time() - began))
    return median(rates), np.concatenate(rows)
