"""Publishes responses to a topic, with Google's client."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from functools import cached_property

from google.api_core.exceptions import InvalidArgument
from google.api_core.retry import Retry

from functions.gcp.batch_publisher import Backlog, BatchPublisher, Message, MessageRefused, no_backlog
from functions.messages.contract import Response, encode_response, response_attributes
from functions.runtime.supervised import Supervisor

PUBLISH_RETRY_S = 30.0
"""Seconds for which a call is retried. A message that fails then is nacked, and its redelivery is answered."""

_RETRY = Retry(timeout=PUBLISH_RETRY_S)


class TopicResponses:
    """Responses to a topic `projects/P/topics/T`. The client is built at the first response.

    `backlog`: seconds until the images that wait are scored; the publisher may gather messages for that long.
    """

    def __init__(self, topic: str, supervisor: Supervisor, backlog: Backlog = no_backlog) -> None:
        self._topic, self._supervisor, self._backlog = topic, supervisor, backlog

    @cached_property
    def _publisher(self) -> BatchPublisher:
        return topic_publisher(self._topic, self._supervisor, self._backlog)

    def publish(self, response: Response, *, waited: bool = False) -> Future[str]:
        """Return at once; the future ends when the broker has the response, or fails after PUBLISH_RETRY_S."""
        return self._publisher.publish(encode_response(response), response_attributes(response), waited=waited)


def topic_publisher(topic: str, supervisor: Supervisor, backlog: Backlog = no_backlog) -> BatchPublisher:
    """A publisher to a topic `projects/P/topics/T`."""
    # The generated client: the stock client around it adds its own batching, whose import takes 20 ms.
    from google.pubsub_v1 import PublisherClient, PublishRequest, PubsubMessage

    client = PublisherClient()
    # The plain protocol buffers: the library's wrappers take ten times as long to fill.
    request_of, message_of = PublishRequest.pb(), PubsubMessage.pb()

    def send(messages: Sequence[Message]) -> Sequence[str]:
        try:
            plain = [message_of(data=message.data, attributes=message.attributes) for message in messages]
            reply = client.publish(
                PublishRequest(request_of(topic=topic, messages=plain)), retry=_RETRY, timeout=PUBLISH_RETRY_S
            )
        except (InvalidArgument, ValueError) as exc:  # ValueError: the message cannot be encoded
            raise MessageRefused from exc
        return list(reply.message_ids)

    return BatchPublisher(send, supervisor.start, backlog)
