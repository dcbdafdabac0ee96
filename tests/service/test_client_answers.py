"""Which responses the client accepts, on which subscription, and how it reports other messages."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from client.__main__ import main
from functions.messages.contract import Error, Response, decode_response, encode_response, response_attributes
from infra.local.twin import Delivery, Twin
from model.labels import Prediction
from tests.service.cli_harness import PROJECT, CommandLine


@pytest.fixture
def twin(shared_twin: Callable[[Delivery], Twin]) -> Twin:
    return shared_twin("push")


def test_not_waiting_prints_the_ids_of_requests_that_are_answered(cli: CommandLine, samples: Path) -> None:
    path = cli.subscription("kept", "res_predict")
    code, out, _ = cli.run("publish", str(samples / "bag.bmp"), str(samples / "coat.tif"), "--no-wait")
    assert code == 0
    ids = {path: request_id for request_id, path in (line.split("\t") for line in out.splitlines())}
    assert set(ids) == {str(samples / "bag.bmp"), str(samples / "coat.tif")}
    answered: set[str] = set()
    while answered < set(ids.values()):
        for got in cli.subscriber.pull(subscription=path, max_messages=10, timeout=20).received_messages:
            answered.add(decode_response(got.message.data).request_id)
            assert "reply_to" not in got.message.attributes
    cli.subscriber.delete_subscription(subscription=path)


@pytest.mark.parametrize("filter_", ["", 'attributes.reply_to = "cli-7"'])
def test_an_existing_subscription_is_used_and_kept(cli: CommandLine, samples: Path, filter_: str) -> None:
    path = cli.subscription("made", "res_predict", filter=filter_)
    code, [line] = cli.lines("publish", str(samples / "bag.bmp"), "--subscription", "made")
    assert code == 0 and line["response"]["status"] == "ok"
    cli.subscriber.delete_subscription(subscription=path)


def test_a_missing_subscription_is_reported(cli: CommandLine, samples: Path) -> None:
    code, out, err = cli.run("publish", str(samples / "bag.bmp"), "--subscription", "nope")
    assert code == 1 and not out and "NotFound" in err


def answer_by_hand(cli: CommandLine, requests: str, *answers: Response | bytes, reply_to: str | None = None) -> None:
    """Wait for one request and publish these responses to it, with its id and reply_to."""
    got = cli.message(requests)
    asked = got.message.attributes
    cli.subscriber.acknowledge(subscription=requests, ack_ids=[got.ack_id])
    for answer in answers:
        if isinstance(answer, bytes):
            data, attributes = answer, {"reply_to": asked["reply_to"]}
        else:
            mine = Response(
                asked["request_id"], answer.predictions, answer.error, reply_to=reply_to or asked["reply_to"]
            )
            data, attributes = encode_response(mine), response_attributes(mine)
        cli.publisher.publish(f"projects/{PROJECT}/topics/res_predict", data, **attributes).result(10)


def test_duplicates_and_other_messages_are_dropped(cli: CommandLine, samples: Path) -> None:
    requests = cli.subscription("by-hand", cli.topic("by-hand"))
    first, second = (Response("", (Prediction(label, 1.0),)) for label in ("first", "second"))
    late = Response("", error=Error("unavailable", "dead letter"))
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(answer_by_hand, cli, requests, b"not a response", first, first, second, late)
        code, lines = cli.lines("publish", str(samples / "bag.bmp"), "--topic", "by-hand", "--timeout", "20")
        done.result(20)
    assert code == 0 and [line["response"]["predictions"][0]["label"] for line in lines] == ["first"]
    cli.subscriber.delete_subscription(subscription=requests)


def test_a_mistyped_response_is_reported_and_ends_nothing(cli: CommandLine, samples: Path) -> None:
    requests = cli.subscription("by-hand-4", cli.topic("by-hand-4"))
    mistyped = encode_response(Response("r", (Prediction("first", 1.0),))).replace(b"1.0", b'"high"')
    good = Response("", (Prediction("good", 1.0),))
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(answer_by_hand, cli, requests, mistyped, good)
        code, out, err = cli.run("publish", str(samples / "bag.bmp"), "--topic", "by-hand-4", "--timeout", "20")
        done.result(20)
    assert code == 0 and "good   1.0000" in out
    assert "dropped a message that is no response (request unknown): score is text; it must be a number" in err
    cli.subscriber.delete_subscription(subscription=requests)


def test_responses_for_other_clients_are_ignored(cli: CommandLine, samples: Path) -> None:
    """An unfiltered subscription, as on a server that applies no filters."""
    requests = cli.subscription("by-hand-2", cli.topic("by-hand-2"))
    unfiltered = cli.subscription("unfiltered", "res_predict")
    foreign = Response("", (Prediction("foreign", 1.0),))
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(answer_by_hand, cli, requests, foreign, reply_to="another client")
        words = ["--topic", "by-hand-2", "--subscription", "unfiltered", "--timeout", "5"]
        code, [line] = cli.lines("publish", str(samples / "bag.bmp"), *words)
        done.result(20)
    assert code == 1 and line["response"] is None and line["problem"] == "no answer within 5 s"
    for path in (requests, unfiltered):
        cli.subscriber.delete_subscription(subscription=path)


def test_a_broken_stream_is_reported_at_once(cli: CommandLine, samples: Path) -> None:
    requests = cli.subscription("by-hand-3", cli.topic("by-hand-3"))

    def sabotage() -> None:
        cli.message(requests)
        [name] = [name for name in cli.subscriptions() if re.fullmatch("res_predict-[0-9a-f]{32}", name)]
        cli.subscriber.delete_subscription(subscription=f"projects/{PROJECT}/subscriptions/{name}")

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(sabotage)
        began = time.monotonic()
        code, [line] = cli.lines("publish", str(samples / "bag.bmp"), "--topic", "by-hand-3", "--timeout", "60")
        done.result(20)
    assert code == 1 and line["problem"].startswith("responses can no longer be received: NotFound")
    assert time.monotonic() - began < 30
    cli.subscriber.delete_subscription(subscription=requests)


def test_the_own_subscription_is_filtered_and_expires(cli: CommandLine, samples: Path) -> None:
    topic = cli.topic("void-2")
    with ThreadPoolExecutor(1) as pool:
        words = ["publish", str(samples / "bag.bmp"), "--topic", topic, "--timeout", "5"]
        done = pool.submit(main, words, os.environ)
        own: list[str] = []
        while not own and not done.done():
            own = [name for name in cli.subscriptions() if re.fullmatch("res_predict-[0-9a-f]{32}", name)]
        found = cli.subscriber.get_subscription(subscription=f"projects/{PROJECT}/subscriptions/{own[0]}")
        assert done.result(20) == 1
    assert found.filter == f'attributes.reply_to = "{own[0].removeprefix("res_predict-")}"'
    assert found.message_retention_duration.total_seconds() == 7 * 86_400
    assert found.expiration_policy.ttl.total_seconds() == 8 * 86_400
    cli.cancel_last()
