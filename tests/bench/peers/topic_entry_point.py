"""Images through the request topic and responses from the response topic, with Google's stock client."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Mapping
from concurrent.futures import Future
from types import TracebackType
from typing import Any

from google.cloud import pubsub_v1

PATIENCE_S = 120.0


class TopicEntryPoint:
    """Publishes images and hears what is answered; a context manager. Threads may share it."""

    def __init__(self, project: str) -> None:
        self._topic = f"projects/{project}/topics/req_predict"
        self._awaited: dict[str, Future[Mapping[str, Any]]] = {}
        self._changing = threading.Lock()
        # Who asks alone does not wait for company; among many, batches keep the client from being what is measured.
        self._alone = pubsub_v1.PublisherClient(pubsub_v1.types.BatchSettings(max_messages=1))
        self._batching = pubsub_v1.PublisherClient()
        self._subscriber = pubsub_v1.SubscriberClient()
        self._stream = self._subscriber.subscribe(f"projects/{project}/subscriptions/res_predict-sub", self._hear)

    def later(self, request_id: str) -> Future[Mapping[str, Any]]:
        """The answer to a request, once it is heard."""
        future: Future[Mapping[str, Any]] = Future()
        with self._changing:
            self._awaited[request_id] = future
        return future

    def publish(self, image: bytes, *, among_many: bool = False) -> Future[Mapping[str, Any]]:
        """Ask, without waiting for the answer."""
        request_id = uuid.uuid4().hex
        future = self.later(request_id)
        (self._batching if among_many else self._alone).publish(self._topic, image, request_id=request_id)
        return future

    def ask(self, image: bytes) -> Mapping[str, Any]:
        """What is to be seen in an image. Raises OSError when that is an error, TimeoutError."""
        return self.publish(image).result(PATIENCE_S)

    def ask_among_many(self, image: bytes) -> Mapping[str, Any]:
        """The same, in batches with what others ask within 10 ms."""
        return self.publish(image, among_many=True).result(PATIENCE_S)

    def _hear(self, message: Any) -> None:
        message.ack()
        with self._changing:
            future = self._awaited.pop(message.attributes["request_id"], None)
        if future is None:
            return  # a duplicate
        if message.attributes["status"] == "ok":
            future.set_result(json.loads(message.data))
        else:
            future.set_exception(OSError(f"the worker answered {message.data.decode(errors='replace')}"))

    def __enter__(self) -> TopicEntryPoint:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.cancel()
        self._stream.result()
        self._subscriber.close()
        for publisher in (self._alone, self._batching):
            publisher.stop()
            publisher.transport.close()
