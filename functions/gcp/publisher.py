"""Publishes responses to a topic: many small messages in few calls, from threads that live as long as the process.

Google's own publisher starts a thread for each batch, and the caller waits until that thread runs: under full load a
third of the time of the scoring threads. Here a single message is sent at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from google.api_core.exceptions import InvalidArgument
from google.api_core.retry import Retry

from functions.messages.comparison import Comparison, comparison_attributes, encode_comparison
from functions.messages.contract import Response, encode_response, response_attributes
from functions.messages.response_list import encode_lists
from functions.runtime.futures import all_of
from functions.runtime.gathering import Backlog, Gathering, no_backlog
from functions.runtime.supervised import Supervisor

PUBLISH_RETRY_S = 30.0
"""Seconds for which a call is retried. A message that fails then is nacked, and its redelivery is answered."""

_RETRY = Retry(timeout=PUBLISH_RETRY_S)

_SENDERS = 4
"""Maximum concurrent calls."""


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """One message. `sent` ends with its id once the broker has it. `waited`: a thread waits for that."""

    data: bytes
    attributes: Mapping[str, str]
    waited: bool = False
    sent: Future[str] = field(default_factory=Future)


class MessageRefused(Exception):
    """The broker refuses a message of the call."""


class IncompleteReply(Exception):
    """The broker's reply does not have an id for each message of the call."""


class Send(Protocol):
    """Makes one call and returns the ids of the messages, in order; blocks. Raises MessageRefused. From any thread."""

    def __call__(self, messages: Sequence[Message], /) -> Sequence[str]: ...


class BatchPublisher:
    """Publishes messages. Callable from any thread. `start` starts its threads, which end with the process."""

    def __init__(
        self,
        send: Send,
        start: Callable[[str, Callable[[], None]], object],
        backlog: Backlog = no_backlog,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._send, self._one_at_a_time = send, threading.Lock()
        self._messages = Gathering[Message](
            lambda message: len(message.data), lambda message: message.waited, backlog, sleep
        )
        for number in range(_SENDERS):
            start(f"publisher-{number}", self._run)

    def publish(self, data: bytes, attributes: Mapping[str, str], *, waited: bool = False) -> Future[str]:
        """Return at once; the future ends when the broker has the message, or fails.

        `waited`: a thread waits for it, so the message is sent without waiting for others.
        """
        message = Message(data, attributes, waited)
        self._messages.add(message)
        return message.sent

    def _run(self) -> None:
        while True:
            with self._one_at_a_time:  # two threads would each get half a batch
                messages = self._messages.next()
            self._deliver(messages)

    def _deliver(self, messages: Sequence[Message]) -> None:
        try:
            ids = self._send(messages)
            if len(ids) != len(messages):  # which of them the broker has is not known
                raise IncompleteReply(f"the broker gave {len(ids)} ids for {len(messages)} messages")
        except MessageRefused as exc:
            if len(messages) == 1:
                messages[0].sent.set_exception(exc)
                return
            for message in messages:
                self._deliver([message])
        except Exception as exc:
            for message in messages:
                message.sent.set_exception(exc)
        else:
            for message, message_id in zip(messages, ids, strict=True):
                message.sent.set_result(message_id)


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

    def publish_list(
        self, responses: Sequence[Response], attributes: Mapping[str, str], *, waited: bool = False
    ) -> Future[str]:
        """Publish responses in as few messages as their size allows; the future ends like that of `publish`."""
        return all_of([self._publisher.publish(data, attributes, waited=waited) for data in encode_lists(responses)])


class TopicComparisons:
    """Comparisons to a topic `projects/P/topics/T`. The client is built at the first comparison."""

    def __init__(self, topic: str, supervisor: Supervisor) -> None:
        self._topic, self._supervisor = topic, supervisor

    @cached_property
    def _publisher(self) -> BatchPublisher:
        return topic_publisher(self._topic, self._supervisor)

    def publish(self, comparison: Comparison) -> Future[str]:
        """Return at once; the future ends when the broker has the comparison, or fails after PUBLISH_RETRY_S."""
        return self._publisher.publish(encode_comparison(comparison), comparison_attributes(comparison))


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
