"""The requests of a fault run: inline, by reference and by upload, valid and invalid, with expected responses."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from google.api_core.exceptions import GoogleAPICallError, RetryError
from google.cloud import pubsub_v1, storage

from client.gcp import pubsub_retry, storage_retry
from functions.bootstrap import build
from functions.errors import UNAVAILABLE
from functions.messages.contract import Envelope, Error, ObjectRef, Response, encode_reference
from functions.settings import Settings
from tests.bench.images import garments
from tests.fakes import engine_of, respond
from tests.fault.journal import RequestJournal
from tests.fault.plan import Plan
from tests.samples import BAD_IMAGES

DOOMED = "doomed.png"
"""An object whose every download fails: what asks for it can only be dead-lettered."""

_GOOD = 40
_OPEN = 300
"""Requests under way at most, so that every fault meets some and no worker drowns."""

_SENDERS = 8
_TRIES = 8


@dataclass(frozen=True, slots=True)
class Sample:
    """An image and the answer of a worker without faults. `ref`: where it lies in the payloads bucket."""

    data: bytes
    expected: Response
    ref: ObjectRef


class Traffic:
    """Sends a plan's requests and enters them in the journal when they are accepted; each is sent until it is."""

    def __init__(self, project: str, plan: Plan) -> None:
        self._project, self._plan = project, plan
        self._slots = threading.Semaphore(_OPEN)
        self.journal = RequestJournal(self._slots.release)
        self._publisher = pubsub_v1.PublisherClient(pubsub_v1.types.BatchSettings(max_latency=0.002))
        self._storage = storage.Client(project=project)
        self._samples = self._make_samples()
        self._random = random.Random(plan.seed)

    def send(self) -> None:
        """Send everything; blocks. Raises when a request is finally not accepted, or its response is long overdue."""
        sends = [self._doomed] * self._plan.doomed
        sends += self._random.choices(
            [self._inline, self._reference, self._drop], weights=[70, 20, 10], k=self._plan.requests - len(sends)
        )
        with ThreadPoolExecutor(_SENDERS, "send") as pool:
            sent = [pool.submit(self._one, number, each) for number, each in enumerate(sends)]
            for each in sent:
                each.result()

    def close(self) -> None:
        self._publisher.stop()
        self._publisher.transport.close()
        self._storage.close()

    def _one(self, number: int, send: Callable[[str, Sample], tuple[str, Response]]) -> None:
        if not self._slots.acquire(timeout=self._plan.quiet_s):
            raise TimeoutError(f"{_OPEN} requests are open and none was answered for {self._plan.quiet_s:g} s")
        sample = self._samples[number % len(self._samples)]
        for left in reversed(range(_TRIES)):
            try:
                self.journal.accept(*send(f"fault-{number}", sample))
                return
            except (GoogleAPICallError, RetryError, ConnectionError):
                if not left:
                    raise

    def _inline(self, request_id: str, sample: Sample) -> tuple[str, Response]:
        return self._publish(request_id, sample.data, sample.expected)

    def _reference(self, request_id: str, sample: Sample) -> tuple[str, Response]:
        return self._publish(request_id, encode_reference(sample.ref), sample.expected)

    def _drop(self, request_id: str, sample: Sample) -> tuple[str, Response]:
        generation = self._put("uploads", request_id, sample.data)
        return f"uploads/{request_id}#{generation}", sample.expected

    def _doomed(self, request_id: str, sample: Sample) -> tuple[str, Response]:
        body = json.dumps({"image_uri": f"gs://payloads/{DOOMED}"}).encode()
        return self._publish(request_id, body, Response(request_id, error=Error(UNAVAILABLE, "")))

    def _publish(self, request_id: str, data: bytes, expected: Response) -> tuple[str, Response]:
        topic = f"projects/{self._project}/topics/req_predict"
        self._publisher.publish(topic, data, retry=pubsub_retry(), request_id=request_id).result()
        return request_id, expected

    def _put(self, bucket: str, name: str, data: bytes) -> int:
        blob = self._storage.bucket(bucket).blob(name)
        blob.upload_from_string(data, "image/png", retry=storage_retry())
        return int(blob.generation)

    def _make_samples(self) -> list[Sample]:
        images = garments(_GOOD) + [data for data, _ in BAD_IMAGES.values() if len(data) > 1][:3]
        handler = build(Settings(project=self._project))
        try:
            answers = [respond(handler, Envelope("expected", data)) for data in images]
        finally:
            engine_of(handler).close()
        refs = [ObjectRef("payloads", name, self._put("payloads", name, data)) for name, data in _named(images)]
        return [Sample(*each) for each in zip(images, answers, refs, strict=True)]


def _named(images: list[bytes]) -> list[tuple[str, bytes]]:
    return [(f"sample-{number}", data) for number, data in enumerate(images)]
