"""Answers requests on a topic of Kafka instead of a worker, as soon as they come."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from functions.kafka.message_headers import envelope_of, headers_of
from functions.messages.contract import Model, Request, Response, encode_response, response_attributes
from functions.messages.image_lines import RESPONSES, decode_lines, has_lines
from functions.messages.request_decoder import decode
from functions.messages.response_list import BATCH, encode_lists, list_attributes
from model.labels import Prediction
from tests.kafka_broker import KafkaTopics


@contextmanager
def answering(kafka: KafkaTopics) -> Iterator[None]:
    """Answer the requests that are there, and those that come during the block."""
    from confluent_kafka import Consumer

    config = {"bootstrap.servers": kafka.bootstrap, "group.id": f"worker-{kafka.suffix}", "fetch.wait.max.ms": 20}
    consumer = Consumer(config | {"auto.offset.reset": "earliest"})
    consumer.subscribe([kafka.requests])
    ended = threading.Event()

    def work() -> None:
        while not ended.is_set():
            if (message := consumer.poll(0.1)) is not None and not message.error():
                kafka.produce(answers(message), kafka.responses)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        consumer.close()


def answers(message: Any) -> list[tuple[bytes, bytes, list[tuple[str, bytes]]]]:
    """The messages that answer a message: key, value, headers."""
    envelope = envelope_of(message)
    decoded = decode_lines(envelope) if has_lines(envelope.attributes) else decode(envelope)
    responses = [_response(each) for each in (decoded if isinstance(decoded, list) else [decoded])]
    if envelope.attributes.get(RESPONSES) == BATCH:
        attributes = list_attributes(envelope, responses[0].reply_to)
        return [(envelope.id.encode(), text, headers_of(attributes)) for text in encode_lists(responses)]
    return [
        (each.request_id.encode(), encode_response(each), headers_of(response_attributes(each))) for each in responses
    ]


def _response(request: Any) -> Response:
    assert isinstance(request, Request), request
    model = Model("m", "1", "sha256:0", "none")
    return Response(
        request.request_id, (Prediction("Bag", 0.9),), None, model, request.source, reply_to=request.reply_to
    )
