"""Kafka's messages as envelopes, and what replaces those that are nacked."""

from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from functions.kafka.google_tokens import token_of
from functions.kafka.message_headers import NoRequestId, envelope_of, headers_of, request_envelope
from functions.kafka.offset_ranges import MAX_BYTES, decoded
from functions.kafka.offsets import PartitionOffsets
from functions.kafka.retries import Delays, RetryPolicy, dead_letter_of, retry_of, wait_s
from functions.messages.contract import Rejected
from functions.messages.request_decoder import decode
from tests.conftest import require

SENT_MS = 1_790_000_000_125


def message(**given: Any) -> Any:
    require("confluent_kafka")
    from confluent_kafka import Message

    made = {"topic": "req_predict", "partition": 3, "offset": 17, "key": b"r1", "value": b"image"}
    return Message(**{**made, "timestamp": (1, SENT_MS), **given})


def again(out: Any) -> Any:
    """The message that the brokers make of one that is published."""
    return message(topic=out.topic, key=out.key, value=out.value, headers=list(out.headers))


def test_key_headers_and_value_are_id_attributes_and_payload() -> None:
    attributes = {"top_k": "3", "filename": "Schuh größe.png", "reply_to": ""}
    envelope = envelope_of(message(headers=headers_of(attributes)))
    assert (envelope.id, envelope.payload, envelope.attributes) == ("r1", b"image", attributes)
    assert envelope.published_at == datetime.fromtimestamp(SENT_MS / 1000, UTC) and envelope.delivery_attempt == 1
    assert envelope_of(message(key=None, headers=[("request_id", b"r2")])).id == "r2"
    assert envelope_of(message(value=None, headers=[("model", None)])).attributes == {"model": ""}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"headers": [("filename", b"\xff")]}, "the header 'filename' is not UTF-8"),
        ({"headers": [("top_k", b"1"), ("top_k", b"2")]}, "the header 'top_k' is stated twice; it must be stated once"),
        ({"value": bytes(10_000_001)}, "the message has 10,000,001 bytes; at most 10,000,000 are read"),
        ({"key": b"\xff", "headers": [("request_id", b"r1")]}, "the key is not UTF-8; it must be the request_id"),
    ],
)
def test_a_sender_that_can_be_named_gets_an_error_response(given: dict[str, Any], reason: str) -> None:
    bad = message(**{**given, "headers": [*given.get("headers", []), ("reply_to", b"me")]})
    rejected = decode(request_envelope(bad))
    assert isinstance(rejected, Rejected)
    assert (rejected.request_id, rejected.reply_to, rejected.reason) == ("r1", "me", reason)


@pytest.mark.parametrize("key", [None, b"", b"\xff"])
def test_a_message_that_names_no_request_has_no_envelope(key: bytes | None) -> None:
    with pytest.raises(NoRequestId, match="key"):
        request_envelope(message(key=key, headers=[("filename", b"shoe.png")]))


def test_a_retry_keeps_the_message_and_counts_its_deliveries() -> None:
    sent = message(headers=[("top_k", b"3"), ("top_k", b"\xff")])
    first = retry_of(sent, "req_predict-retry", 1, 60.0)
    second = retry_of(again(first), "req_predict-retry", 2, 120.0)
    assert (second.topic, second.key, second.value, second.timestamp_ms) == (
        "req_predict-retry",
        b"r1",
        b"image",
        SENT_MS,
    )
    assert second.headers[:2] == sent.headers() and len(second.headers) == 4
    assert request_envelope(again(second)).delivery_attempt == 3
    assert 50 < wait_s(again(first)) <= 60 and 110 < wait_s(again(second)) <= 120 and wait_s(sent) == 0


def test_a_dead_letter_keeps_the_message_and_tells_why() -> None:
    retried = again(retry_of(message(headers=[("top_k", b"3")]), "req_predict-retry", 19, 0.0))
    headers = dict(dead_letter_of(retried, "dead_predict", "req_predict-worker", "no response", 20).headers)
    assert headers == {
        "top_k": b"3",
        "CloudPubSubDeadLetterSourceDeliveryCount": b"20",
        "CloudPubSubDeadLetterSourceSubscription": b"req_predict-worker",
        "CloudPubSubDeadLetterSourceTopicPublishTime": b"2026-09-21T14:13:20.125Z",
        "dead_letter_reason": b"no response",
        "dead_letter_attempts": b"20",
        "dead_letter_topic": b"req_predict-retry",
        "dead_letter_partition": b"3",
        "dead_letter_offset": b"17",
    }


def test_the_time_between_deliveries_doubles_up_to_its_limit() -> None:
    policy = RetryPolicy(20, 10.0, 600.0)
    assert [policy.backoff_s(attempt) for attempt in (1, 2, 3, 6, 7, 1000)] == [10, 20, 40, 320, 600, 600]


def test_the_lowest_unfinished_offset_is_committed_with_what_is_finished_beyond() -> None:
    offsets = PartitionOffsets[str]()
    assert PartitionOffsets[str]().position is None
    for offset in (5, 6, 9, 10):  # 7 and 8 are gone, as in a compacted topic
        assert offsets.begin(offset)
    assert (offsets.position, offsets.beyond) == (5, "")
    offsets.finish(9, "nine")
    assert offsets.advance() == ["nine"] and offsets.advance() == []
    assert offsets.position == 5 and decoded(5, offsets.beyond) == [(9, 10)]
    offsets.finish(6, "six")
    assert offsets.unfinished(11) == 4
    assert offsets.advance() == ["six"]
    assert offsets.position == 5 and decoded(5, offsets.beyond) == [(6, 10)]
    offsets.finish(5, "five")
    assert offsets.advance() == ["five"] and (offsets.position, offsets.beyond) == (10, "")
    offsets.finish(10, "ten")
    assert offsets.drop() == ["ten"] and offsets.drop() == []


def test_the_position_follows_the_end_of_the_partition() -> None:
    offsets = PartitionOffsets[str]()
    offsets.begin(10)
    offsets.finish(10, "ten")
    assert offsets.advance() == ["ten"] and offsets.position == 11
    offsets.reach_end(12)  # 11 is the marker of a transaction
    assert offsets.position == 12
    offsets.begin(20)
    offsets.reach_end(22)
    assert offsets.position == 20
    offsets.finish(20, "twenty")
    assert offsets.advance() == ["twenty"] and offsets.position == 22 and offsets.drop() == []


def test_what_an_earlier_reader_finished_is_not_handled_again() -> None:
    offsets = PartitionOffsets[str]([(6, 8), (10, 11)])
    assert [offset for offset in range(5, 13) if offsets.begin(offset)] == [5, 8, 9, 11, 12]
    offsets.advance()
    assert offsets.position == 5 and decoded(5, offsets.beyond) == [(6, 8), (10, 11)]
    for offset in (5, 8, 9):
        offsets.finish(offset, str(offset))
    assert offsets.advance() == ["5", "8", "9"] and (offsets.position, offsets.beyond) == (11, "")


def test_results_wait_whose_offsets_do_not_fit_into_the_text() -> None:
    offsets, count = PartitionOffsets[int](), 2_000
    for offset in range(count):
        offsets.begin(offset)
    for offset in range(1, count, 2):
        offsets.finish(offset, offset)
    covered = offsets.advance()
    assert 0 < len(covered) < count // 2 and len(offsets.beyond) <= MAX_BYTES
    assert [first for first, _ in decoded(0, offsets.beyond)] == covered
    for offset in range(0, count, 2):
        offsets.finish(offset, offset)
    assert sorted(covered + offsets.advance()) == list(range(count)) and offsets.position == count


@pytest.mark.parametrize("text", ["", "written by another program", "1-", "-", "a-b", "1-2-3", "²-³"])
def test_what_another_program_committed_names_no_offsets(text: str) -> None:
    assert decoded(5, text) == []


def test_calls_are_made_when_they_are_due_in_their_order() -> None:
    now, made = [0.0], list[str]()
    delays = Delays(3, 1_000, lambda: now[0])
    for wait, name, owner in ((30.0, "late", "p1"), (10.0, "soon", "p2"), (10.0, "next", "p1")):
        assert not delays.is_full()
        delays.add(wait, partial(made.append, name), 100, owner)
    assert delays.is_full()
    delays.run_due()
    assert made == []
    now[0] = 10.0
    delays.run_due()
    assert made == ["soon", "next"] and not delays.is_full()
    delays.forget("p1")
    now[0] = 100.0
    delays.run_due()
    assert made == ["soon", "next"]
    delays.add(0.0, lambda: made.append("large"), 1_000)
    assert delays.is_full()


def test_the_token_for_googles_brokers_carries_the_access_token() -> None:
    from google.oauth2.credentials import Credentials

    expiry = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    token, expires = token_of(Credentials("ya29.access", expiry=expiry.replace(tzinfo=None)))
    assert expires == expiry.timestamp()
    header, claims, access = (base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in token.split("."))
    assert json.loads(header) == {"typ": "JWT", "alg": "GOOG_OAUTH2_TOKEN"} and access == b"ya29.access"
    found = json.loads(claims)
    assert found["exp"] == expires and abs(found["iat"] - time.time()) < 60 and found["iss"] == "Google"
