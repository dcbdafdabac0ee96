"""A client of a twin, built on Google's stock client: publishes requests and collects responses."""

from __future__ import annotations

import queue
import time
import uuid
from typing import Any, Self

from google.api_core.exceptions import DeadlineExceeded
from google.cloud import pubsub_v1, storage

from functions.messages.contract import Response
from functions.messages.response_list import decode_responses


class PubsubClient:
    """Publishes requests and reads responses through a subscription of its own."""

    def __init__(self, project: str) -> None:
        self.project = project
        self.storage = storage.Client(project=project)
        self.publisher = pubsub_v1.PublisherClient()
        self.subscriber = pubsub_v1.SubscriberClient()
        self._arrived: queue.SimpleQueue[Response] = queue.SimpleQueue()
        path = f"projects/{project}/subscriptions/test-client-{uuid.uuid4().hex}"
        self.subscriber.create_subscription(
            name=path, topic=f"projects/{project}/topics/res_predict", ack_deadline_seconds=60
        )
        self._stream = self.subscriber.subscribe(path, self._receive)

    def publish(self, data: bytes, **attributes: str) -> str:
        topic = f"projects/{self.project}/topics/req_predict"
        return str(self.publisher.publish(topic, data, **attributes).result(10))

    def drop(self, name: str, data: bytes) -> str:
        """Upload a file to the upload bucket. Returns the request_id of its notification."""
        blob = self.storage.bucket("uploads").blob(name)
        blob.upload_from_string(data, "image/png", timeout=10)
        return f"uploads/{name}#{blob.generation}"

    def responses(self, wanted: set[str], timeout_s: float = 30, copies_for_s: float = 0.0) -> list[Response]:
        """All responses until the wanted ones have arrived, and those of `copies_for_s` more seconds."""
        found: list[Response] = []
        deadline, waiting = time.monotonic() + timeout_s, True
        while (left := deadline - time.monotonic()) > 0:
            try:
                found.append(self._arrived.get(timeout=left))
            except queue.Empty:
                break
            if waiting and wanted <= {response.request_id for response in found}:
                deadline, waiting = time.monotonic() + copies_for_s, False
        return found

    def backlog(self, subscription: str) -> list[Any]:
        """The messages that a subscription still holds. Switches a push subscription to pull."""
        path = f"projects/{self.project}/subscriptions/{subscription}"
        self.subscriber.modify_push_config(subscription=path, push_config={})
        try:
            pulled = self.subscriber.pull(subscription=path, max_messages=100, timeout=1.0, retry=None)
        except DeadlineExceeded:
            return []
        return list(pulled.received_messages)

    def unacked(self, subscription: str) -> list[Any]:
        """Every message that is not acked, leased ones included. The subscription itself is not changed."""
        name, project = uuid.uuid4().hex, f"projects/{self.project}"
        snapshot, mirror = f"{project}/snapshots/s-{name}", f"mirror-{name}"
        path = f"{project}/subscriptions/{mirror}"
        source = self.subscriber.get_subscription(subscription=f"{project}/subscriptions/{subscription}")
        self.subscriber.create_subscription(name=path, topic=source.topic)
        try:
            self.subscriber.create_snapshot(name=snapshot, subscription=source.name)
            self.subscriber.seek({"subscription": path, "snapshot": snapshot})
            self.subscriber.delete_snapshot(snapshot=snapshot)
            return self.backlog(mirror)
        finally:
            self.subscriber.delete_subscription(subscription=path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.cancel()
        self._stream.result()
        self.storage.close()
        self.publisher.stop()
        self.publisher.transport.close()
        self.subscriber.close()

    def _receive(self, message: Any) -> None:
        message.ack()
        for response in decode_responses(message.data, message.attributes):
            self._arrived.put(response)
