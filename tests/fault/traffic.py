"""The requests of a fault run: inline, by reference and by upload, valid and invalid, with expected responses."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from google.api_core.exceptions import GoogleAPICallError, RetryError
from google.cloud import pubsub_v1, storage

from client.gcp import pubsub_retry, storage_retry
from functions.bootstrap import build
from functions.messages.contract import Envelope, ObjectRef, Response, encode_reference
from functions.settings import Settings
from tests.bench.images import garments
from tests.fakes import engine_of, respond
from tests.fault.journal import RequestJournal
from tests.fault.plan import Plan
from tests.registry_models import SHIPPED
from tests.samples import BAD_IMAGES

DOOMED = "doomed.png"
"""An object whose every download fails: what asks for it can only be dead-lettered."""

_GOOD = 40
_OPEN = 300
"""Requests under way at most, so that every fault meets some and no worker drowns."""

_SENDERS = 8
_TRIES = 8


# A request_id, and the answers of workers without faults, one for each model.
_Accepted = tuple[str, tuple[Response, ...]]


@dataclass(frozen=True, slots=True)
class Sample:
    """An image, the answers of workers without faults, and `ref`: its place in the payloads bucket."""

    data: bytes
    expected: tuple[Response, ...]
    ref: ObjectRef


class Sender(Protocol):
    """Sends a request to a broker. `drops`: whether an upload to the bucket sends one too."""

    drops: bool

    def publish(self, request_id: str, data: bytes) -> None:
        """Send it; returns when the broker has it."""

    def close(self) -> None: ...


class PubsubSender:
    """Sends through Pub/Sub. Raises GoogleAPICallError or RetryError."""

    drops = True

    def __init__(self, project: str) -> None:
        self._topic = f"projects/{project}/topics/req_predict"
        self._publisher = pubsub_v1.PublisherClient(pubsub_v1.types.BatchSettings(max_latency=0.002))

    def publish(self, request_id: str, data: bytes) -> None:
        self._publisher.publish(self._topic, data, retry=pubsub_retry(), request_id=request_id).result()

    def close(self) -> None:
        self._publisher.stop()
        self._publisher.transport.close()


class Traffic:
    """Sends a plan's requests and enters them in the journal when they are accepted; each is sent until it is."""

    def __init__(self, project: str, plan: Plan, sender: Sender, artifacts: Sequence[Path] = (SHIPPED,)) -> None:
        self._project, self._plan, self._sender, self._artifacts = project, plan, sender, artifacts
        self._slots = threading.Semaphore(_OPEN)
        self.journal = RequestJournal(self._slots.release)
        self._storage = storage.Client(project=project)
        self._samples = self._make_samples()
        self._random = random.Random(plan.seed)

    def send(self) -> None:
        """Send everything; blocks. Raises when a request is finally not accepted, or its response is long overdue."""
        sends = [self._doomed] * self._plan.doomed
        weights = [70, 20, 10] if self._sender.drops else [70, 30, 0]
        sends += self._random.choices(
            [self._inline, self._reference, self._drop], weights=weights, k=self._plan.requests - len(sends)
        )
        with ThreadPoolExecutor(_SENDERS, "send") as pool:
            sent = [pool.submit(self._one, number, each) for number, each in enumerate(sends)]
            for each in sent:
                each.result()

    def close(self) -> None:
        self._sender.close()
        self._storage.close()

    def _one(self, number: int, send: Callable[[str, Sample], _Accepted]) -> None:
        if not self._slots.acquire(timeout=self._plan.quiet_s):
            raise TimeoutError(f"{_OPEN} requests are open and none was answered for {self._plan.quiet_s:g} s")
        sample = self._samples[number % len(self._samples)]
        for left in reversed(range(_TRIES)):
            try:
                request_id, expected = send(f"fault-{number}", sample)
                self.journal.accept(request_id, *expected)
                return
            except (GoogleAPICallError, RetryError, ConnectionError):
                if not left:
                    raise

    def _inline(self, request_id: str, sample: Sample) -> _Accepted:
        return self._publish(request_id, sample.data, sample.expected)

    def _reference(self, request_id: str, sample: Sample) -> _Accepted:
        return self._publish(request_id, encode_reference(sample.ref), sample.expected)

    def _drop(self, request_id: str, sample: Sample) -> _Accepted:
        generation = self._put("uploads", request_id, sample.data)
        return f"uploads/{request_id}#{generation}", sample.expected

    def _doomed(self, request_id: str, sample: Sample) -> _Accepted:
        body = json.dumps({"image_uri": f"gs://payloads/{DOOMED}"}).encode()
        return self._publish(request_id, body, ())  # no answer is final: it becomes a dead letter

    def _publish(self, request_id: str, data: bytes, expected: tuple[Response, ...]) -> _Accepted:
        self._sender.publish(request_id, data)
        return request_id, expected

    def _put(self, bucket: str, name: str, data: bytes) -> int:
        blob = self._storage.bucket(bucket).blob(name)
        blob.upload_from_string(data, "image/png", retry=storage_retry())
        return int(blob.generation)

    def _make_samples(self) -> list[Sample]:
        images = garments(_GOOD) + [data for data, _ in BAD_IMAGES.values() if len(data) > 1][:3]
        answers = zip(*(self._answers(artifact, images) for artifact in self._artifacts), strict=True)
        refs = [ObjectRef("payloads", name, self._put("payloads", name, data)) for name, data in _named(images)]
        return [Sample(*each) for each in zip(images, answers, refs, strict=True)]

    def _answers(self, artifact: Path, images: list[bytes]) -> list[Response]:
        """What a worker without faults answers with an artifact."""
        handler = build(Settings(project=self._project, artifact=str(artifact)))
        try:
            return [respond(handler, Envelope("expected", data)) for data in images]
        finally:
            engine_of(handler).close()


def _named(images: list[bytes]) -> list[tuple[str, bytes]]:
    return [(f"sample-{number}", data) for number, data in enumerate(images)]
