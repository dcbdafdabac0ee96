"""Publishes the requests of dead letters on the request topic of Pub/Sub again."""

from __future__ import annotations

from typing import Self

from client.dead_letters.dead_letter import DeadLetter
from client.dead_letters.subscription import ADVICE
from client.gcp import UPLOAD_TIMEOUT_S, Cloud, pubsub_retry
from client.text import SendError, plain


class RequestPublisher:
    """Publishes requests again; a context manager. Raises UsageError when no project is set."""

    def __init__(self, cloud: Cloud) -> None:
        self._topic = cloud.topic_path(cloud.topic)

    def __enter__(self) -> Self:
        from google.pubsub_v1 import PublisherClient

        self._client = PublisherClient()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.transport.close()

    def publish(self, dead_letters: list[DeadLetter]) -> set[str]:
        """Publish the requests of dead letters in one call; returns when the broker has them.

        Returns the message ids of those that the broker refuses as invalid. Raises SendError for other errors.
        """
        from google.api_core.exceptions import GoogleAPIError, InvalidArgument

        messages = [
            {"data": each.data, "attributes": each.request_attributes(), "ordering_key": each.ordering_key}
            for each in dead_letters
        ]
        request = {"topic": self._topic, "messages": messages}
        try:
            self._client.publish(request=request, retry=pubsub_retry(), timeout=UPLOAD_TIMEOUT_S)
        except InvalidArgument:  # one of them is invalid, and none is published
            if len(dead_letters) == 1:
                return {dead_letters[0].message_id}
            return {refused for each in dead_letters for refused in self.publish([each])}
        except GoogleAPIError as exc:
            advice = ADVICE.get(type(exc).__name__, "")
            raise SendError(f"no request can be published: {plain(exc, self._topic)}{advice}") from exc
        return set()
