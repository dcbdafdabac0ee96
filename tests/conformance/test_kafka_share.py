"""A share group on a real broker: more workers than partitions, locks that end, and dead letters before a rejection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from infra.local.fault_plan import FaultInjector, FaultPlan
from infra.local.storage.server import StorageServer
from tests.kafka_broker import Broker, KafkaTopics, broker
from tests.kafka_worker import kafka_worker
from tests.samples import encoded
from tests.storage_bucket import new_bucket
from tests.waiting import until

IMAGE = encoded()
LARGE = encoded("JPEG", (1600, 1200), "RGB")
LOCK = "group.share.record.lock.duration.ms=1000"
SHORTEST = "group.share.min.record.lock.duration.ms=1000"
SHARE = {"KAFKA_GROUP": "share", "KAFKA_MAX_ATTEMPTS": "3"}


@pytest.fixture(scope="module")
def short_locks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker whose locks of messages last a second."""
    with broker(tmp_path_factory.mktemp("kafka"), SHORTEST, LOCK) as made:
        yield made


@pytest.fixture
def share(short_locks: Broker) -> KafkaTopics:
    """Topics with one partition."""
    topics = KafkaTopics(short_locks.bootstrap, partitions=1)
    topics.create()
    return topics


def test_more_workers_than_partitions_answer_what_waited_before_them(kafka_bootstrap: str, tmp_path: Path) -> None:
    share = KafkaTopics(kafka_bootstrap, partitions=1)
    share.create()
    wanted = {f"r{number}" for number in range(300)}
    share.send(dict.fromkeys(sorted(wanted), LARGE), top_k="1")
    with ExitStack() as stack:
        env = {**share.env, **SHARE, "PULL_MAX_MESSAGES": "8"}
        workers = [stack.enter_context(kafka_worker(tmp_path / f"{number}.log", env)) for number in range(3)]
        for start in range(0, 1000, 20):  # the first may have been fast
            if until(lambda: sum(bool(worker.answered()) for worker in workers) > 1, 0.5):
                break
            more = {f"more{number}" for number in range(start, start + 20)}
            share.send(dict.fromkeys(sorted(more), LARGE), top_k="1")
            wanted |= more
        answered = share.answers(wanted, 90.0, 1.0)
        assert {response.request_id for response in answered} == wanted
        assert all(response.status == "ok" for response in answered)
        outcomes = [worker.health()["outcomes"]["ok"] for worker in workers]
        assert sum(count > 0 for count in outcomes) > 1 and sum(outcomes) == len(answered)
        for worker in workers:
            worker.stop()
    with kafka_worker(tmp_path / "last.log", {**share.env, **SHARE}) as worker:
        share.send({"last": IMAGE})
        later = Counter(response.request_id for response in share.answers({"last"}, extra_s=2.0))
        assert later == Counter(response.request_id for response in answered) + Counter(["last"])
        worker.stop()


def test_messages_that_take_longer_than_their_lock_are_answered_alike(share: KafkaTopics, tmp_path: Path) -> None:
    wanted = {f"r{number}" for number in range(16)}
    slow = FaultPlan(slow_reads=1.0, slow_s=1.5)  # longer than the lock, and shorter than the worker waits
    with StorageServer() as storage, new_bucket(storage, "payloads") as bucket:
        bucket.blob("shoe").upload_from_string(IMAGE)
        storage.faults = FaultInjector(slow, "storage")
        env = {**share.env, **SHARE, "ALLOWED_BUCKETS": "payloads", "STORAGE_EMULATOR_HOST": storage.url}
        with kafka_worker(tmp_path / "log", env) as worker:
            share.send(dict.fromkeys(sorted(wanted), b'{"image_uri": "gs://payloads/shoe"}'))
            answered = share.answers(wanted, 90.0, 3.0)
            assert {response.request_id for response in answered} == wanted
            said = {(each.request_id, each.status, each.predictions) for each in answered}
            assert len(said) == len(wanted), "a second response is the same as the first"
            assert any(each.delivery_attempt > 1 for each in answered) or "locks have ended" in worker.text
            assert not share.dead_letters(1, 1.0)
            worker.stop()


def test_a_dead_letter_is_there_before_its_message_is_rejected(share: KafkaTopics, tmp_path: Path) -> None:
    with StorageServer(names=["payloads"], fault_plan=FaultPlan(errors=1.0)) as storage:
        env = {**share.env, **SHARE, "ALLOWED_BUCKETS": "payloads", "STORAGE_EMULATOR_HOST": storage.url}
        refused = {f"refused{number}" for number in range(3)}
        with kafka_worker(tmp_path / "log", env) as worker:
            share.send(dict.fromkeys(sorted(refused), b'{"image_uri": "gs://payloads/shoe"}'))
            share.produce([(None, b"no key", [])])
            share.send({"good": IMAGE})
            answered = share.answers({*refused, "good"}, 60.0, 2.0)
            # A fetch that fails takes longer than the lock, so that a request may be announced twice, and alike.
            assert {each.request_id for each in answered if each.error} == refused
            assert {each.error.code for each in answered if each.error} == {"unavailable"}
            wanted = {*(name.encode() for name in refused), b"no key"}
            found = share.read(share.dead, lambda messages: wanted <= {each.key() or each.value() for each in messages})
            dead = {each.key() or each.value(): dict(each.headers()) for each in found}
            assert dead.keys() == wanted
            for name in refused:
                assert dead[name.encode()]["dead_letter_attempts"] == b"3"
            worker.stop()
