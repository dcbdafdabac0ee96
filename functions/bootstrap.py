"""The composition root: the only place that knows which concrete parts are used, and reads the environment.

Built at first use, never at import: the framework imports our module before gunicorn forks, and threads, gRPC clients
and TensorFlow do not survive a fork.
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
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from functions.gcp.clients import BucketImages, TopicResponses
from functions.gcp.push_tokens import Pushers
from functions.gcp.response_store import BucketResponseStore
from functions.messages.contract import Model
from functions.observability.json_logging import configure
from functions.observability.request_log import Outcomes
from functions.observability.spans import spans
from functions.runtime.memory_tuning import collect_seldom, give_back_large_blocks
from functions.runtime.payload_memory import Payloads
from functions.service.pipeline import Service
from functions.settings import Settings
from model.artifact.fetch import fetch_artifact
from model.artifact.load import load_engine, read_artifact
from model.drift import read_reference
from model.engines.micro_batcher import MicroBatcher
from model.errors import ArtifactError
from model.images.limits import Limits
from model.images.memory_budget import Room
from model.predictor import Predictor

log = logging.getLogger(__name__)

_building = threading.Lock()
_loader = mmap.mmap(-1, 8)
"""The id of the process that loads the model, shared by all that are forked from the one that imported this module."""


@cache
def settings() -> Settings:
    """The process's settings. Raises SettingsError."""
    made = Settings.from_env(os.environ)
    configure(made.log_level, made.project)
    return made


def pushers() -> Pushers | None:
    """Who may push, or None where whoever stands before the worker sees to it. Raises SettingsError."""
    made = settings()
    if not made.push_audience:
        return None
    return _pushers(made.push_audience, made.push_service_account, made.oidc_jwks_url)


_pushers = cache(Pushers)


def payloads() -> Payloads:
    """The memory that large payloads of the process may take. Raises SettingsError."""
    return _payloads(settings().payload_bytes)


_payloads = cache(Payloads)


@cache
def outcomes() -> Outcomes:
    """What became of the process's requests; there before anything else works."""
    return Outcomes()


def service() -> Service:
    """The process's service: one, however many threads ask first."""
    with _building:
        return _service()


@cache
def _service() -> Service:
    began = time.perf_counter()
    give_back_large_blocks()
    made = build(settings())
    collect_seldom()
    model, load_ms = made.model, round(1000 * (time.perf_counter() - began), 2)
    log.info(
        "model loaded", extra={"model": model.name, "digest": model.digest, "engine": model.engine, "load_ms": load_ms}
    )
    return made


def build(settings: Settings) -> Service:
    """A service as the settings say. Raises ArtifactError when the model cannot be served, SettingsError."""
    artifact = read_artifact(fetch_artifact(settings.artifact, Path(settings.artifact_cache)))
    # A model that ends the process while it is loaded is named by this line, which is then the process's last one.
    log.info("loading model", extra={"artifact": settings.artifact, "model": artifact.name, "digest": artifact.digest})
    with _loading(settings.artifact):
        name, engine = load_engine(artifact, settings.engine, settings.engine_threads)
    outcomes().expect(_expected_scores(artifact.folder))
    batcher = MicroBatcher(
        engine,
        max_batch_size=settings.max_batch_size,
        max_wait_s=settings.max_wait_ms / 1000,
        scorers=settings.scorers(len(os.sched_getaffinity(0))),
    )
    return Service(
        Predictor(
            batcher, Limits(max_bytes=settings.max_image_bytes), Room(settings.decode_bytes - settings.payload_bytes)
        ),
        Model(artifact.name, artifact.version, artifact.digest, name),
        BucketImages(settings.project, settings.buckets, _payloads(settings.payload_bytes)),
        TopicResponses(settings.topic_path(settings.response_topic), batcher.backlog_s),
        outcomes=outcomes(),
        spans=spans(settings.traces_exporter),
        response_store=BucketResponseStore(settings.response_store, settings.project)
        if settings.response_store
        else None,
    )


@contextmanager
def _loading(artifact: str) -> Iterator[None]:
    """Have a crash of native code named: by the signal, and by the next process, for gunicorn starts one in silence."""
    before = int.from_bytes(_loader[:])
    if before and not _lives(before):
        log.error("a worker process ended while it loaded the model %s", artifact)
    _loader[:] = os.getpid().to_bytes(8)
    stderr = sys.__stderr__
    if stderr is None or faulthandler.is_enabled():  # somebody else sees to it
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
        log.warning("scores are compared with nothing: %s", exc)  # it answers as well as any other
        return {}
