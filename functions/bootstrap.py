"""The composition root: the only place that knows which concrete parts are used, and reads the environment.

Built at first use, never at import: the framework imports our module before gunicorn forks, and threads, gRPC clients
and TensorFlow do not survive a fork.
"""

from __future__ import annotations

import os
import threading
from functools import cache
from pathlib import Path

from functions.contract import Model
from functions.gcp import BucketImages, TopicResponses
from functions.heap import give_back_large_blocks
from functions.logs import configure
from functions.service import Service
from functions.settings import Settings
from model.artifact import load_engine, read_artifact
from model.batching import MicroBatcher
from model.images import Limits
from model.predictor import Predictor
from model.room import Room
from model.store import fetch_artifact

_building = threading.Lock()


@cache
def settings() -> Settings:
    """The process's settings. Raises SettingsError."""
    made = Settings.from_env(os.environ)
    configure(made.log_level)
    return made


def service() -> Service:
    """The process's service: one, however many threads ask first."""
    with _building:
        return _service()


@cache
def _service() -> Service:
    give_back_large_blocks()
    return build(settings())


def build(settings: Settings) -> Service:
    """A service as the settings say. Raises ArtifactError when the model cannot be served."""
    artifact = read_artifact(fetch_artifact(settings.artifact, Path(settings.artifact_cache)))
    name, engine = load_engine(artifact, settings.engine, settings.engine_threads)
    batcher = MicroBatcher(engine, max_batch_size=settings.max_batch_size, max_wait_s=settings.max_wait_ms / 1000)
    return Service(
        Predictor(batcher, Limits(max_bytes=settings.max_image_bytes), Room(settings.decode_bytes)),
        Model(artifact.name, artifact.version, artifact.digest, name),
        BucketImages(settings.project),
        TopicResponses(settings.topic_path(settings.response_topic)),
    )
