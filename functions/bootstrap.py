"""The composition root: reads the settings from the environment and builds the worker.

Objects are built at first use, never at import, because functions-framework imports main.py before its server forks.
Threads, gRPC clients and TensorFlow do not survive a fork.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from functions.gcp.object_store import BucketObjects
from functions.gcp.publisher import TopicComparisons, TopicResponses
from functions.gcp.push_tokens import PushAuthorizer
from functions.gcp.response_store import BucketResponseStore
from functions.messages.comparison import Comparison
from functions.observability.json_logging import configure
from functions.observability.request_log import RequestLog
from functions.observability.spans import spans
from functions.runtime.memory_tuning import release_large_blocks, tune_garbage_collector
from functions.runtime.model_loader import ModelLoader
from functions.runtime.payload_memory import PayloadBudget
from functions.runtime.supervised import Supervisor
from functions.service.handler import Handler
from functions.service.models import OneModel, ServedModel
from functions.service.pipeline import CallerRuns, Pipeline
from functions.service.ports import ResponsePublisher
from functions.settings import Settings
from model.artifact.fetch import fetch_artifact
from model.images.memory_budget import MemoryBudget

if TYPE_CHECKING:
    from functions.runtime.model_pool import ModelPool
    from functions.runtime.shadow_scorer import ShadowScorer
    from model.registry.aliases import Target

log = logging.getLogger(__name__)

LOADERS = 4
"""Threads for requests whose model is not loaded. They are apart from those for other requests, which wait for none."""

IMAGE_THREADS = 16
"""Threads for the images of messages with several of them, where they block: references, large images, explanations."""

_building = threading.Lock()


@cache
def settings() -> Settings:
    """The process's settings. Raises SettingsError."""
    made = Settings.from_env(os.environ)
    configure(made.log_level, made.project)
    return made


@cache
def push_authorizer() -> PushAuthorizer | None:
    """The authorizer of pushes, or None when the platform authorizes them. Raises SettingsError."""
    made = settings()
    if not made.push_audience:
        return None
    return PushAuthorizer(made.push_audience, made.push_service_account, made.oidc_jwks_url)


@cache
def payload_budget() -> PayloadBudget:
    """The memory budget of the process for large payloads. Raises SettingsError."""
    return PayloadBudget(settings().payload_bytes)


@cache
def request_log() -> RequestLog:
    """The outcomes of the process's requests."""
    return RequestLog()


@cache
def supervisor() -> Supervisor:
    """The supervisor of the process's threads."""
    return Supervisor()


def handler(executor: Executor | None = None, publishers: Publishers | None = None) -> Handler:
    """Return the process's handler. The first call, from any thread, builds it. The arguments are those of `build`."""
    with _building:
        return _handler(executor, publishers)


def ready_handler() -> Handler | None:
    """Return the process's handler, if it is built; never waits."""
    return _handler(None, None) if _handler.cache_info().currsize else None


@cache
def _handler(executor: Executor | None, publishers: Publishers | None) -> Handler:
    began = time.perf_counter()
    _announce()
    release_large_blocks()
    made = build(settings(), executor, payload_budget(), publishers)
    tune_garbage_collector()
    served, load_ms = made.pipeline.models.default, round(1000 * (time.perf_counter() - began), 2)
    log.info(
        "model loaded",
        extra={
            "model": served.model.name,
            "digest": served.model.digest,
            "engine": served.model.engine,
            "device": served.predictor.device,
            "load_ms": load_ms,
        },
    )
    return made


@cache
def _announce() -> None:
    """Log once that the process starts, however often it tries: one without "model loaded" is a start that failed."""
    log.info("starting", extra={"artifact": settings().source})


@dataclass(frozen=True, slots=True)
class Publishers:
    """What publishes responses and comparisons instead of Pub/Sub."""

    responses: ResponsePublisher
    compare: Callable[[Comparison], Future[str]]


def build(
    settings: Settings,
    executor: Executor | None = None,
    payload_budget: PayloadBudget | None = None,
    publishers: Publishers | None = None,
) -> Handler:
    """Build a handler from the settings. Raises SettingsError, or ArtifactError when the model cannot be served.

    The `executor` runs requests that block, and the scoring threads decode small images; a thread that waits for one
    response does both itself. Without an `executor`, the handler has its own, whose threads start with the first
    message of several images, and there is no CPU between requests. Objects of buckets count against the
    `payload_budget`; without one, the handler has its own. Without `publishers`, responses go to Pub/Sub.
    """
    loader = ModelLoader(
        settings, MemoryBudget(settings.decode_bytes - settings.payload_bytes), request_log(), supervisor().start
    )
    pipeline = Pipeline(
        _registry_models(settings, loader, executor is not None) if settings.registry else _one(settings, loader),
        BucketObjects(settings.project, settings.buckets, payload_budget or PayloadBudget(settings.payload_bytes)),
        executor or ThreadPoolExecutor(IMAGE_THREADS, "image"),
        # Scoring threads must not block, and a response store blocks.
        not settings.response_store,
        spans(settings.traces_exporter),
        _copies(settings, publishers),
    )
    topic = settings.topic_path(settings.response_topic)
    return Handler(
        pipeline,
        publishers.responses if publishers else TopicResponses(topic, supervisor(), pipeline.models.backlog_s),
        request_log(),
        BucketResponseStore(settings.response_store, settings.project) if settings.response_store else None,
    )


def _copies(settings: Settings, publishers: Publishers | None) -> ShadowScorer | None:
    if not settings.comparison_topic:
        return None
    from functions.runtime.shadow_scorer import ShadowScorer

    topic = TopicComparisons(settings.topic_path(settings.comparison_topic), supervisor())
    compare = publishers.compare if publishers else topic.publish
    return ShadowScorer(compare, request_log(), supervisor().start)


def _one(settings: Settings, loader: ModelLoader) -> OneModel:
    folder = fetch_artifact(settings.artifact, Path(settings.artifact_cache))
    return OneModel(loader.load(folder, settings.artifact))


def _registry_models(settings: Settings, loader: ModelLoader, has_cpu: bool) -> ModelPool:
    """The models of a registry. `has_cpu`: between requests too, so that threads of its own read aliases and load."""
    # Here, because a worker with one artifact starts without them.
    from functions.runtime.loaded_models import LoadedModels
    from functions.runtime.model_pool import ModelPool
    from model.registry.downloads import Downloads
    from model.registry.names import parse_ref
    from model.registry.registry import Registry

    registry = Registry.at(settings.registry)
    downloads = Downloads(registry, Path(settings.artifact_cache))

    def load_version(name: str, target: Target) -> ServedModel:
        folder = downloads.fetch(name, target)
        try:
            served = loader.load(folder, registry.address_of(name, target.version), name, target)
        except BaseException:
            downloads.forget(folder)
            raise
        weakref.finalize(served, downloads.forget, folder)
        return served

    loaded = LoadedModels(load_version, settings.model_bytes)
    refs = map(parse_ref, settings.refs)
    pool = ModelPool(
        registry,
        refs,
        loaded,
        ThreadPoolExecutor(LOADERS, "load") if has_cpu else CallerRuns(),
        supervisor().start,
        settings.aliases_max_age_s,
        bool(settings.comparison_topic),
    )
    if has_cpu:
        supervisor().start("aliases", pool.rereading.repeat)
    return pool
