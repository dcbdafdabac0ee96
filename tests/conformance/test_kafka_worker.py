"""The Kafka worker on a real broker: every request is answered, whatever its message, its worker or its group does."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from functions.kafka.message_headers import ATTEMPTS, NOT_BEFORE
from functions.messages.contract import Response
from functions.messages.image_lines import RESPONSES, TOGETHER, encode_line
from functions.messages.request_decoder import LINES_TYPE
from infra.local.fault_plan import FaultInjector, FaultPlan
from infra.local.storage.server import StorageServer
from tests.kafka_broker import KafkaTopics, broker
from tests.kafka_worker import config_file, kafka_worker
from tests.samples import encoded
from tests.waiting import until

IMAGE = encoded()
LARGE = encoded("JPEG", (1600, 1200), "RGB")
"""An image that takes some hundredths of a second, so that there is a middle."""

SLOW = {"MAX_BATCH_SIZE": "2", "PULL_MAX_MESSAGES": "16"}
TRANSACTIONS = {"KAFKA_TRANSACTIONS": "on"}
BOTH = pytest.mark.parametrize("settings", [{}, TRANSACTIONS], ids=["offsets", "transactions"])


def ids(count: int, start: int = 0) -> set[str]:
    return {f"r{number}" for number in range(start, start + count)}


def times(responses: Sequence[Response]) -> Counter[str]:
    return Counter(response.request_id for response in responses)


@BOTH
def test_every_request_is_answered_once(kafka: KafkaTopics, tmp_path: Path, settings: dict[str, str]) -> None:
    wanted = ids(60)
    with kafka_worker(tmp_path / "log", {**kafka.env, **settings}) as worker:
        kafka.send(dict.fromkeys(sorted(wanted), IMAGE), top_k="2", reply_to="me", filename="Schuh größe.png")
        lines = b"\n".join(encode_line(request_id, IMAGE) for request_id in ("a1", "a2", "a3"))
        kafka.send({"several": lines}, content_type=LINES_TYPE, **{RESPONSES: TOGETHER})
        several = {"a1", "a2", "a3"}
        answered = kafka.answers(wanted | several, extra_s=1.0)
        assert times(answered) == Counter(wanted | several)
        for response in answered:
            assert response.status == "ok" and response.delivery_attempt == 1, response
            if response.request_id in wanted:
                assert len(response.predictions) == 2 and response.reply_to == "me"
                assert response.source.filename == "Schuh größe.png" and response.timing_ms.queue > 0
        assert until(lambda: worker.health()["lag"] == 0)
        health = worker.health()
        assert health["status"] == "ok" and health["outcomes"]["ok"] == 63
        worker.stop()
    messages = kafka.read(kafka.responses, lambda messages: len(messages) >= 61)
    assert {message.key().decode() for message in messages} == wanted | {"several"}
    with kafka_worker(tmp_path / "second.log", {**kafka.env, **settings}) as worker:
        kafka.send({"last": IMAGE})
        assert times(kafka.answers({"last"}, extra_s=0.5)) == Counter(wanted | several | {"last"})
        worker.stop()


@BOTH
def test_bad_messages_are_answered_or_kept_as_dead_letters(
    kafka: KafkaTopics, tmp_path: Path, settings: dict[str, str]
) -> None:
    bad = {
        "header": (IMAGE, [("filename", b"\xff\xfe")], "the header 'filename' is not UTF-8"),
        "twice": (IMAGE, [("top_k", b"1"), ("top_k", b"2")], "the header 'top_k' is stated twice"),
        "large": (bytes(10_000_001), [], "the message has 10,000,001 bytes; at most 10,000,000 are read"),
        "empty": (None, [], "the message is empty"),
        "option": (IMAGE, [("top_k", b"many")], "top_k is 'many'"),
    }
    with kafka_worker(tmp_path / "log", {**kafka.env, **settings}) as worker:
        kafka.produce([(name.encode(), value, headers) for name, (value, headers, _) in bad.items()])
        kafka.produce([(None, b"one", [("filename", b"shoe.png")]), (b"\xff", b"two", [])])
        kafka.produce([(None, IMAGE, [("request_id", b"named")])])
        answered = {response.request_id: response for response in kafka.answers({*bad, "named"}, extra_s=0.5)}
        assert answered.keys() == {*bad, "named"} and answered["named"].status == "ok"
        for name, (_, _, reason) in bad.items():
            error = answered[name].error
            assert error and error.code == "invalid_request" and error.message.startswith(reason)
        dead = {each.value(): dict(each.headers()) for each in kafka.dead_letters(2)}
        assert dead.keys() == {b"one", b"two"}
        assert dead[b"one"]["dead_letter_reason"] == b"the message has no key; it must be the request_id"
        assert dead[b"one"]["filename"] == b"shoe.png" and dead[b"one"]["dead_letter_topic"].decode() == kafka.requests
        assert dead[b"two"]["dead_letter_reason"].startswith(b"the key is not UTF-8")
        assert until(lambda: worker.health()["lag"] == 0)
        worker.stop()


@BOTH
def test_a_request_that_fails_waits_apart_and_becomes_a_dead_letter(
    kafka: KafkaTopics, tmp_path: Path, settings: dict[str, str]
) -> None:
    env = {**kafka.env, **settings, "ALLOWED_BUCKETS": "payloads", "KAFKA_MIN_BACKOFF_S": "0.2"}
    with StorageServer(names=["payloads"], fault_plan=FaultPlan(errors=1.0)) as storage:
        env |= {"STORAGE_EMULATOR_HOST": storage.url, "KAFKA_MAX_ATTEMPTS": "3"}
        with kafka_worker(tmp_path / "log", env) as worker:
            refused = {f"refused{number}" for number in range(3)}
            kafka.send(dict.fromkeys(sorted(refused), b'{"image_uri": "gs://payloads/shoe"}'), reply_to="me")
            kafka.send(dict.fromkeys(sorted(ids(20)), IMAGE))
            answered = [r for r in kafka.answers(ids(20)) if r.request_id not in refused]
            assert times(answered) == Counter(ids(20))
            answered = [r for r in kafka.answers(refused, extra_s=1.0) if r.request_id in refused]
            assert times(answered) == Counter(refused)
            for response in answered:
                assert response.error and response.error.code == "unavailable"
                assert (response.delivery_attempt, response.reply_to) == (3, "me")
            dead = kafka.dead_letters(3)
            assert {each.key().decode() for each in dead} == refused and len(dead) == 3
            for each in dead:
                headers = dict(each.headers())
                assert each.value() == b'{"image_uri": "gs://payloads/shoe"}'
                assert headers["dead_letter_attempts"] == b"3" and headers["reply_to"] == b"me"
                assert headers["dead_letter_reason"].startswith(b"no response after 3 deliveries: ")
            order = [line["request_id"] for line in worker.lines() if line["message"] in ("answered", "dead letter")]
            assert {*order[:20]} == ids(20), "they wait for none of the others"
            logged = [line for line in worker.lines() if line["message"] == "dead letter"]
            assert {line["request_id"]: line["delivery_attempt"] for line in logged} == dict.fromkeys(refused, 3)
            assert until(lambda: worker.health()["lag"] == 0)
            kafka.send({"later": b'{"image_uri": "gs://payloads/shoe"}'})
            assert until(lambda: any(line.get("request_id") == "later" for line in worker.lines()))
            storage.faults = FaultInjector(FaultPlan(), "storage")
            (late,) = [r for r in kafka.answers({"later"}) if r.request_id == "later"]
            assert late.error and late.error.code == "image_not_found" and late.delivery_attempt > 1
            worker.stop()


@BOTH
def test_a_message_that_waits_holds_up_no_response_and_doubles_none(
    kafka_bootstrap: str, tmp_path: Path, settings: dict[str, str]
) -> None:
    kafka = KafkaTopics(kafka_bootstrap, partitions=1)
    kafka.create()
    in_an_hour = str(int(1000 * (time.time() + 3600)))
    waits = [(ATTEMPTS, b"1"), (NOT_BEFORE, in_an_hour.encode())]
    kafka.produce([(b"waits", IMAGE, waits)], f"{kafka.requests}-retry")
    kafka.produce([(b"due", IMAGE, [(ATTEMPTS, b"1")])], f"{kafka.requests}-retry")
    env = {**kafka.env, **settings, **config_file(tmp_path)}
    with kafka_worker(tmp_path / "first.log", env) as worker:
        assert times(kafka.answers({"due"})) == Counter({"due"})
        assert until(lambda: kafka.committed(f"{kafka.requests}-retry").metadata), "what is finished beyond the first"
        worker.kill()
    with kafka_worker(tmp_path / "second.log", env) as worker:
        kafka.produce([(b"later", IMAGE, [(ATTEMPTS, b"1")])], f"{kafka.requests}-retry")
        assert times(kafka.answers({"later"}, extra_s=0.5)) == Counter({"due", "later"})
        worker.stop()


@BOTH
def test_a_worker_that_stops_leaves_the_rest_to_the_next(
    kafka: KafkaTopics, tmp_path: Path, settings: dict[str, str]
) -> None:
    wanted, env = ids(150), {**kafka.env, **SLOW, **settings}
    kafka.send(dict.fromkeys(sorted(wanted), LARGE))
    with kafka_worker(tmp_path / "log", env) as worker:
        assert until(lambda: len(worker.answered()) > 5)
        worker.stop()
        assert len(worker.answered()) < len(wanted), "it was stopped in the middle"
    with kafka_worker(tmp_path / "second.log", env) as worker:
        found = times(kafka.answers(wanted, 60.0, 1.0))
        worker.stop()
    assert found == Counter(wanted)


@BOTH
def test_a_rebalance_loses_and_doubles_nothing(kafka: KafkaTopics, tmp_path: Path, settings: dict[str, str]) -> None:
    sent, env = set[str](), {**kafka.env, **SLOW, **settings, **config_file(tmp_path)}

    def send(count: int) -> None:
        more = ids(count, len(sent))
        kafka.send(dict.fromkeys(sorted(more), LARGE))
        sent.update(more)

    with kafka_worker(tmp_path / "first.log", env) as first:
        send(50)
        assert until(lambda: len(first.partitions()) == 2 * kafka.partitions), "it has all, of both topics"
        with kafka_worker(tmp_path / "second.log", env) as second:
            for _ in range(300):
                send(10)
                if until(second.answered, 0.1):
                    break
            assert second.answered()
            send(50)
            second.stop()
        send(50)
        assert times(kafka.answers(sent, 60.0, 1.0)) == Counter(sent)
        assert "partitions revoked" in first.text
        first.stop()


@BOTH
def test_a_killed_worker_loses_nothing_and_in_transactions_doubles_nothing(
    kafka: KafkaTopics, tmp_path: Path, settings: dict[str, str]
) -> None:
    wanted, env = ids(200), {**kafka.env, **SLOW, **settings, **config_file(tmp_path)}
    kafka.send(dict.fromkeys(sorted(wanted), LARGE))
    for number in range(2):
        with kafka_worker(tmp_path / f"{number}.log", env) as worker:
            enough = 10 + 40 * number
            kafka.read(kafka.responses, lambda messages, enough=enough: len(messages) > enough)
            worker.kill()
    with kafka_worker(tmp_path / "last.log", env) as worker:
        found = times(kafka.answers(wanted, 60.0, 1.0))
        worker.stop()
    assert found.keys() == wanted
    if settings:
        assert found == Counter(wanted)


def test_a_worker_without_its_topics_names_them(kafka_bootstrap: str, tmp_path: Path) -> None:
    kafka = KafkaTopics(kafka_bootstrap)
    with kafka_worker(tmp_path / "log", kafka.env, is_ready=False) as worker:
        assert worker.process.wait(30) == 1
    missing = sorted([kafka.requests, f"{kafka.requests}-retry", kafka.responses, kafka.dead])
    assert f"show no topic {', '.join(missing)}: create it" in worker.text
    assert "Traceback" not in worker.text


@pytest.mark.parametrize("properties", ["group.protocol=consumer\n", "group.instance.id=one\n"])
def test_other_kinds_of_group_members_answer_too(kafka: KafkaTopics, tmp_path: Path, properties: str) -> None:
    env = {**kafka.env, **TRANSACTIONS, **config_file(tmp_path, properties)}
    for number in range(2):  # the second start of a static member ends what the first left open
        with kafka_worker(tmp_path / f"{number}.log", env) as worker:
            kafka.send(dict.fromkeys(sorted(ids(20, 20 * number)), IMAGE))
            wanted = ids(20 + 20 * number)
            assert times(kafka.answers(wanted, extra_s=0.5)) == Counter(wanted)
            worker.stop()


@BOTH
def test_a_worker_goes_on_after_its_broker_was_killed(tmp_path: Path, settings: dict[str, str]) -> None:
    with broker(tmp_path / "data") as killed:
        kafka = KafkaTopics(killed.bootstrap)
        kafka.create()
        wanted = ids(150)
        with kafka_worker(tmp_path / "log", {**kafka.env, **SLOW, **settings}) as worker:
            kafka.send(dict.fromkeys(sorted(wanted), LARGE))
            kafka.read(kafka.responses, lambda messages: len(messages) > 5)
            killed.kill()
            killed.start()
            found = times(kafka.answers(wanted, 90.0, 1.0))
            assert found.keys() == wanted
            if settings:
                assert found == Counter(wanted)
            assert worker.process.poll() is None, worker.text
            assert until(lambda: worker.health()["lag"] == 0, 30)
            worker.stop()
