"""Loads an artifact as a model that is served."""

from __future__ import annotations

import faulthandler
import logging
import mmap
import os
import sys
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from functions.messages.contract import Model
from functions.observability.request_log import RequestLog
from functions.service.models import ServedModel
from functions.settings import Settings
from model.artifact.load import Artifact, choose_engine, engine_bytes, load_engine, read_artifact
from model.drift import read_reference
from model.engines.base import Engine
from model.engines.micro_batcher import MicroBatcher, StartThread
from model.errors import ArtifactError
from model.images.limits import Limits
from model.images.memory_budget import MemoryBudget
from model.predictor import Predictor
from model.text import size_text

if TYPE_CHECKING:
    from model.registry.aliases import Target

log = logging.getLogger(__name__)

_loader = mmap.mmap(-1, 8)
"""The id of the process that is loading the model, or 0, in memory that forked processes share."""


@dataclass(frozen=True, slots=True)
class ModelLoader:
    """Loads models by the settings. Callable from any thread.

    `memory`: the budget for decoding, which all models share. `start` starts a scoring thread.
    """

    settings: Settings
    memory: MemoryBudget
    request_log: RequestLog
    start: StartThread

    def load(self, folder: Path, address: str, name: str = "", target: Target | None = None) -> ServedModel:
        """Load the artifact in a folder, which came from `address`.

        `name`, `target`: the version of a registry that it must be. Raises ArtifactError.
        """
        artifact = read_artifact(folder)
        if target and artifact.digest != target.digest:
            raise ArtifactError(f"{address} has the digest {artifact.digest}, and the alias names {target.digest}")
        if target and (artifact.name, artifact.version) != (name, target.version):
            raise ArtifactError(f"{address} holds {artifact.name} {artifact.version}; push the artifact instead")
        if target:
            self._check_size(artifact, address)
        # If loading the model crashes the process, this is the last line of its log.
        log.info("loading model", extra={"artifact": address, "model": artifact.name, "digest": artifact.digest})
        return self._combined(artifact, address) if artifact.members else self._single(artifact, address)

    def _check_size(self, artifact: Artifact, address: str) -> None:
        """Raise ArtifactError before a load that alone takes more than MODEL_BYTES: it might end the process."""
        settings = self.settings
        engine = choose_engine(artifact, settings.engine, settings.device)
        if (size := engine_bytes(artifact, engine)) > settings.model_bytes:
            raise ArtifactError(
                f"{address} loads {size_text(size)} with the engine {engine}; MODEL_BYTES is {settings.model_bytes:,}: "
                "set it higher, if the worker has the memory"
            )

    def _single(self, artifact: Artifact, address: str) -> ServedModel:
        settings = self.settings
        with _loading(address):
            name, engine = load_engine(artifact, settings.engine, settings.engine_threads, settings.device)
        self.request_log.expect(artifact.digest, _expected_scores(artifact.folder))
        batcher = self._batcher(engine)
        made = ServedModel(_model(artifact, name), self._predictor(batcher), batcher, engine_bytes(artifact, name))
        return _released(made, batcher)

    def _combined(self, artifact: Artifact, address: str) -> ServedModel:
        # Here, because few workers serve one.
        from model.artifact.composition import read_composition
        from model.combination import Combination

        composition, settings = read_composition(artifact), self.settings
        name = choose_engine(artifact, settings.engine, settings.device)
        with _loading(address):
            engines = [
                load_engine(member, name, settings.engine_threads, settings.device)[1] for member in artifact.members
            ]
        batchers = [self._batcher(engine) for engine in engines]
        combination = Combination(composition, [self._predictor(batcher) for batcher in batchers])
        return _released(ServedModel(_model(artifact, name), combination, size=engine_bytes(artifact, name)), *batchers)

    def _batcher(self, engine: Engine) -> MicroBatcher:
        settings = self.settings
        return MicroBatcher(
            engine,
            max_batch_size=settings.max_batch_size,
            max_wait_s=settings.max_wait_ms / 1000,
            scorers=settings.scorers(len(os.sched_getaffinity(0))),
            start=self.start,
        )

    def _predictor(self, batcher: MicroBatcher) -> Predictor:
        return Predictor(batcher, Limits(max_bytes=self.settings.max_image_bytes), self.memory)


def _model(artifact: Artifact, engine: str) -> Model:
    return Model(artifact.name, artifact.version, artifact.digest, engine)


def _released(served: ServedModel, *batchers: MicroBatcher) -> ServedModel:
    """The model, whose scoring threads, which hold its engines, end with the last reference to it."""
    for batcher in batchers:
        weakref.finalize(served, batcher.stop).atexit = False
    return served


@contextmanager
def _loading(artifact: str) -> Iterator[None]:
    """Log a crash of native code during a load: faulthandler prints the stack, and the next process logs an error.

    The server of functions-framework replaces a process that crashed, and logs nothing.
    """
    before = int.from_bytes(_loader[:])
    if before and not _is_alive(before):
        log.error("a worker process ended while it loaded the model %s", artifact)
    _loader[:] = os.getpid().to_bytes(8)
    stderr = sys.__stderr__
    if stderr is None or faulthandler.is_enabled():
        stderr = None
    else:
        faulthandler.enable(stderr, all_threads=False)
    try:
        yield
    finally:
        _loader[:] = bytes(8)
        if stderr:
            faulthandler.disable()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def _expected_scores(artifact: Path) -> Mapping[str, float | None]:
    try:
        return read_reference(artifact).mean_scores
    except ArtifactError as exc:
        log.warning("the log has no expected scores: %s", exc)  # the model works without them
        return {}
