"""The composition root: builds the worker from its settings, and is the only reader of the environment.

Everything is built at first use, never at import: functions-framework imports main.py before gunicorn forks, and
threads, gRPC clients and TensorFlow do not survive a fork.
"""

from __future__ import annotations

import faulthandler
import logging
import mmap
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from functions.gcp.object_store import BucketObjects
from functions.gcp.push_tokens import Pushers
from functions.gcp.response_publisher import TopicResponses
from functions.gcp.response_store import BucketResponseStore
from functions.messages.contract import Model
from functions.observability.json_logging import configure
from functions.observability.request_log import RequestLog
from functions.observability.spans import spans
from functions.runtime.memory_tuning import collect_seldom, return_large_blocks
from functions.runtime.payload_memory import Payloads
from functions.runtime.supervised import Supervisor
from functions.service.handler import Handler
from functions.service.pipeline import CallerRuns, Pipeline
from functions.settings import Settings
from model.artifact.fetch import fetch_artifact
from model.artifact.load import load_engine, read_artifact
from model.drift import read_reference
from model.engines.micro_batcher import MicroBatcher
from model.errors import ArtifactError
from model.images.limits import Limits
from model.images.memory_budget import MemoryBudget
from model.predictor import Predictor

log = logging.getLogger(__name__)

_building = threading.Lock()
_loader = mmap.mmap(-1, 8)
"""The id of the process that loads the model, in memory that forked processes share."""


@cache
def settings() -> Settings:
    """The process's settings. Raises SettingsError."""
    made = Settings.from_env(os.environ)
    configure(made.log_level, made.project)
    return made


def pushers() -> Pushers | None:
    """Who may push, or None when the platform in front of the worker checks it. Raises SettingsError."""
    made = settings()
    if not made.push_audience:
        return None
    return _pushers(made.push_audience, made.push_service_account, made.oidc_jwks_url)


_pushers = cache(Pushers)


def payloads() -> Payloads:
    """The memory budget of the process for large payloads. Raises SettingsError."""
    return _payloads(settings().payload_bytes)


_payloads = cache(Payloads)


@cache
def request_log() -> RequestLog:
    """The outcomes of the process's requests."""
    return RequestLog()


@cache
def supervisor() -> Supervisor:
    """The supervisor of the process's threads."""
    return Supervisor()


def handler(executor: Executor | None = None) -> Handler:
    """The process's handler, built at the first call, whichever thread makes it. `executor` as in `build`."""
    with _building:
        return _handler(executor)


@cache
def _handler(executor: Executor | None) -> Handler:
    began = time.perf_counter()
    return_large_blocks()
    made = build(settings(), executor)
    collect_seldom()
    model, load_ms = made.pipeline.model, round(1000 * (time.perf_counter() - began), 2)
    log.info(
        "model loaded", extra={"model": model.name, "digest": model.digest, "engine": model.engine, "load_ms": load_ms}
    )
    return made


def build(settings: Settings, executor: Executor | None = None) -> Handler:
    """A handler by the settings. Raises ArtifactError when the model cannot be served, SettingsError.

    `executor` runs requests that block, and the scoring threads prepare small images; without it the calling thread
    does both, which suits a caller that waits for the response.
    """
    artifact = read_artifact(fetch_artifact(settings.artifact, Path(settings.artifact_cache)))
    # When a model ends the process while it is loaded, this is the last line of its log.
    log.info("loading model", extra={"artifact": settings.artifact, "model": artifact.name, "digest": artifact.digest})
    with _loading(settings.artifact):
        name, engine = load_engine(artifact, settings.engine, settings.engine_threads)
    request_log().expect(_expected_scores(artifact.folder))
    batcher = MicroBatcher(
        engine,
        max_batch_size=settings.max_batch_size,
        max_wait_s=settings.max_wait_ms / 1000,
        scorers=settings.scorers(len(os.sched_getaffinity(0))),
        start=supervisor().start,
    )
    pipeline = Pipeline(
        Predictor(
            batcher,
            Limits(max_bytes=settings.max_image_bytes),
            MemoryBudget(settings.decode_bytes - settings.payload_bytes),
        ),
        Model(artifact.name, artifact.version, artifact.digest, name),
        BucketObjects(settings.project, settings.buckets, _payloads(settings.payload_bytes)),
        executor or CallerRuns(),
        # A response store blocks, which scoring threads must not.
        batcher if executor and not settings.response_store else None,
        spans(settings.traces_exporter),
    )
    return Handler(
        pipeline,
        TopicResponses(settings.topic_path(settings.response_topic), supervisor(), batcher.backlog_s),
        request_log(),
        BucketResponseStore(settings.response_store, settings.project) if settings.response_store else None,
    )


@contextmanager
def _loading(artifact: str) -> Iterator[None]:
    """Have a crash of native code logged: by the signal, and by the next process, which gunicorn starts silently."""
    before = int.from_bytes(_loader[:])
    if before and not _lives(before):
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


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def _expected_scores(artifact: Path) -> Mapping[str, float | None]:
    try:
        return read_reference(artifact).mean_scores
    except ArtifactError as exc:
        log.warning("no expected scores are logged: %s", exc)  # the model serves without them
        return {}
