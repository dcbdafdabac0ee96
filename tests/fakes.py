"""Real classes that stand in for a model, a bucket and a topic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from functions import bootstrap
from functions.errors import ImageNotFound
from functions.messages.contract import Envelope, Ignored, Model, ObjectRef, Response
from functions.messages.request_decoder import decode
from functions.service.handler import AwaitedDelivery, Handler
from functions.service.models import OneModel, ServedModel
from functions.service.pipeline import Pipeline
from model.engines.base import Activations, Engine, Features, Images, Scores, Signature
from model.errors import ImageTooLarge
from model.predictor import Predictor
from model.training.export.benchmark import BATCHES, THREADS, Speed

LABELS = ("dark", "middle", "light")
SIGNATURE = Signature(
    4,
    4,
    1,
    "float32",
    LABELS,
    {
        "steps": [
            {"op": "grayscale"},
            {"op": "resize", "width": 4, "height": 4},
            {"op": "scale", "factor": 1 / 255, "offset": 0.0},
        ]
    },
)
UNMEASURED = Speed({(threads, batch): 1.0 for threads in THREADS for batch in BATCHES}, 0.5, 1, (1.0,))
"""A fixed value instead of minutes of measuring."""

MODEL = Model("fake", "1.0.0", "sha256:" + "0" * 64, "fake")


class BrightnessEngine:
    """Scores by the brightness of the image and records the sizes of its batches."""

    signature = SIGNATURE
    device = "CPU"

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.failure: Exception | None = None
        self.closed = False
        self.found: Features | None = None

    def score(self, images: Images, /) -> Scores:
        if self.failure:
            raise self.failure
        self.sizes.append(len(images))
        means = images.mean(axis=(1, 2, 3))
        scores = np.stack([1 - means, np.full_like(means, 0.25), means], axis=1)
        return np.asarray(scores / scores.sum(axis=1, keepdims=True), dtype=np.float32)

    def activations(self, images: Images, /) -> Activations | None:
        return None

    def features(self, images: Images, /) -> Features | None:
        return self.found

    def close(self) -> None:
        self.closed = True


def engine_of(handler: Handler) -> Engine:
    """The engine of the model that the handler serves by default."""
    predictor = handler.pipeline.models.default.predictor
    assert isinstance(predictor, Predictor)
    return predictor.engine


@dataclass
class MemoryObjects:
    """A bucket in memory."""

    objects: dict[str, bytes] = field(default_factory=dict)
    failure: Exception | None = None

    @contextmanager
    def fetch(self, ref: ObjectRef, max_bytes: int) -> Iterator[bytes]:
        if self.failure:
            raise self.failure
        data = self.objects.get(ref.uri)
        if data is None:
            raise ImageNotFound(f"{ref.uri} is not there")
        if len(data) > max_bytes:
            raise ImageTooLarge(f"{ref.uri} is {len(data):,} bytes; at most {max_bytes:,} are allowed")
        yield data


@dataclass
class MemoryResponses:
    """A topic in memory: `hold` leaves the futures open, as a slow broker does."""

    published: list[Response] = field(default_factory=list)
    failure: Exception | None = None
    hold: bool = False
    futures: list[Future[str]] = field(default_factory=list)
    lists: list[tuple[list[Response], dict[str, str]]] = field(default_factory=list)

    def publish(self, response: Response, *, waited: bool = False) -> Future[str]:
        future: Future[str] = Future()
        self.futures.append(future)
        if self.failure:
            future.set_exception(self.failure)
            return future
        self.published.append(response)
        if not self.hold:
            future.set_result(str(len(self.published)))
        return future

    def publish_list(
        self, responses: Sequence[Response], attributes: Mapping[str, str], *, waited: bool = False
    ) -> Future[str]:
        self.lists.append((list(responses), dict(attributes)))
        future: Future[str] = Future()
        self.futures.append(future)
        if self.failure:
            future.set_exception(self.failure)
        elif not self.hold:
            future.set_result(f"list {len(self.lists)}")
        return future


@dataclass
class MemoryResponseStore:
    """A response store in memory."""

    answers: dict[str, Response] = field(default_factory=dict)

    def keep(self, identity: str, response: Response) -> Response:
        return self.answers.setdefault(identity, response)


def fake_handler(**parts: Any) -> Handler:
    """A handler with fake parts; each part may be replaced."""
    engine = parts.pop("engine", None)
    predictor = parts.pop("predictor", None) or Predictor(engine or BrightnessEngine())
    batches = parts.pop("batches", None)
    pipeline = Pipeline(
        parts.pop("models", None) or OneModel(ServedModel(MODEL, predictor, batches)),
        parts.pop("objects", None) or MemoryObjects(),
        decodes_in_batches=batches is not None,
        **{name: parts.pop(name) for name in ("executor", "spans", "now") if name in parts},
    )
    return Handler(pipeline, parts.pop("responses", None) or MemoryResponses(), **parts)


def respond(handler: Handler, envelope: Envelope) -> Response:
    """The response that the pipeline makes, neither cached nor published."""
    request = decode(envelope)
    assert not isinstance(request, Ignored)
    return handler.pipeline.submit(request).result(30)


def forget_settings() -> None:
    """Let the process read its settings from the environment again."""
    for kept in (bootstrap.settings, bootstrap.push_authorizer, bootstrap.payload_budget):
        kept.cache_clear()


def handle(handler: Handler, envelope: Envelope) -> AwaitedDelivery:
    """Handle an envelope like a push delivery."""
    delivery = AwaitedDelivery(envelope)
    handler.handle(delivery)
    return delivery


def handle_dead_letter(handler: Handler, envelope: Envelope) -> AwaitedDelivery:
    """Handle a dead letter like a push delivery."""
    delivery = AwaitedDelivery(envelope)
    handler.handle(delivery, is_dead_letter=True)
    return delivery
