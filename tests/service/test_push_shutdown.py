"""SIGTERM to push workers under load: requests in flight are answered, and senders see no error."""

from __future__ import annotations

import http.client
import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.local import worker as workers
from infra.local.child import Child
from infra.local.ports import free_port
from infra.local.topology import Topology
from infra.local.twin import Twin
from tests.pubsub_client import PubsubClient
from tests.samples import encoded
from tests.service.hung_storage import stalled
from tests.waiting import until

IMAGES = 200
GRACE_S = 10.0


@contextmanager
def push_worker(env: dict[str, str], log: Path, port: int) -> Iterator[Child]:
    """A worker that is ready; gone when the block ends."""
    worker = workers.start_push(port, env, log)
    try:
        workers.wait_push(worker, port)
        yield worker
    finally:
        worker.stop()


def end(worker: Child) -> float:
    """SIGTERM; gives the seconds until it has ended by itself."""
    began = time.monotonic()
    worker.terminate()
    assert until(lambda: worker.exit_code is not None, 2 * GRACE_S), "it never ended"
    return time.monotonic() - began


@pytest.mark.slow
def test_nothing_is_lost_when_a_push_worker_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image, ids = encoded("JPEG", (1600, 1200), "RGB"), {f"r{number}" for number in range(IMAGES)}
    port = free_port()
    with Twin(worker=None, topology=Topology.read().with_retry(0.2, 0.8)) as twin:
        for name, value in twin.env.items():
            monkeypatch.setenv(name, value)
        with PubsubClient(twin.project) as pubsub:
            answered: Counter[str] = Counter()
            for request_id in ids:
                pubsub.publish(image, request_id=request_id)
            # Few threads, so that there is a middle.
            with push_worker({**twin.env, "THREADS": "2"}, tmp_path / "first.log", port) as worker:
                pubsub.subscriber.modify_push_config(
                    subscription=f"projects/{pubsub.project}/subscriptions/req_predict-sub",
                    push_config={"push_endpoint": f"http://127.0.0.1:{port}/"},
                )
                assert until(lambda: answered.update(response_ids(pubsub, 0.05)) or answered, 30)
                end(worker)
            answered.update(response_ids(pubsub, 1))
            assert 0 < len(answered) < IMAGES, "it was stopped in the middle"
            with push_worker(twin.env, tmp_path / "second.log", port):
                answered.update(r.request_id for r in pubsub.responses(ids - set(answered), timeout_s=60))
            assert set(answered) == ids, "lost"
            assert set(answered.values()) == {1}, "what was answered was acked too"
            assert pubsub.backlog("dead_predict-sub") == []


@pytest.mark.timing
@pytest.mark.slow
def test_a_worker_ends_in_time_while_storage_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    # Delivered again at once, so that the ending worker is given the request a second time.
    with Twin(worker=None, topology=Topology.read().with_retry(0.2, 0.8)) as twin:
        for name, value in twin.env.items():
            monkeypatch.setenv(name, value)
        with PubsubClient(twin.project) as pubsub:
            pubsub.storage.bucket("payloads").blob("shoe").upload_from_string(encoded())
            with push_worker(twin.env, tmp_path / "first.log", port) as worker, stalled(twin.storage) as asked:
                pubsub.publish(b'{"image_uri": "gs://payloads/shoe"}', request_id="r")
                pubsub.subscriber.modify_push_config(
                    subscription=f"projects/{pubsub.project}/subscriptions/req_predict-sub",
                    push_config={"push_endpoint": f"http://127.0.0.1:{port}/"},
                )
                assert asked.wait(30)
                assert end(worker) < GRACE_S
            with push_worker(twin.env, tmp_path / "second.log", port):
                assert [response.status for response in pubsub.responses({"r"}, timeout_s=60)] == ["ok"]
            assert pubsub.backlog("dead_predict-sub") == []


def response_ids(pubsub: PubsubClient, for_s: float) -> list[str]:
    return [response.request_id for response in pubsub.responses({"never"}, timeout_s=for_s)]


class Router:
    """Spreads requests over its workers like Cloud Run: a leaving worker gets no new requests, then SIGTERM.

    A request whose connection is closed without an answer goes to the next worker: whether it was accepted cannot be
    seen from here, and asking twice does no harm.
    """

    def __init__(self) -> None:
        self.ports: list[int] = []
        self.statuses: Counter[int | str] = Counter()
        self.again = 0
        self.under_way: Counter[int] = Counter()
        self._turn = itertools.count()
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def ask(self, image: bytes) -> int | str:
        for _ in range(3):
            with self._lock:
                port = self.ports[next(self._turn) % len(self.ports)]
                self.under_way[port] += 1
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                connection.connect()  # no one connects to a worker that has left
            try:
                connection.request("POST", "/predict", image)
                response = connection.getresponse()
                response.read()
                return response.status
            except (ConnectionResetError, http.client.RemoteDisconnected):
                with self._lock:
                    self.again += 1
            except OSError as exc:
                return repr(exc)
            finally:
                connection.close()
                with self._lock:
                    self.under_way[port] -= 1
        return "closed three times"

    def replace(self, old: int, new: int) -> None:
        with self._lock:
            self.ports[self.ports.index(old)] = new

    def run(self, image: bytes) -> None:
        while not self._stop.is_set():
            status = self.ask(image)
            with self._lock:
                self.statuses[status] += 1

    @contextmanager
    def load(self, callers: int, image: bytes) -> Iterator[None]:
        threads = [threading.Thread(target=self.run, args=(image,)) for _ in range(callers)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(60)


@pytest.mark.slow
def test_a_rolling_restart_of_two_workers_fails_no_request(tmp_path: Path) -> None:
    env, router = {"GOOGLE_CLOUD_PROJECT": "p", "HTTP_ENDPOINT": "on", "LOG_LEVEL": "WARNING"}, Router()
    ports = [free_port() for _ in range(4)]
    with (
        push_worker(env, tmp_path / "0.log", ports[0]) as first,
        push_worker(env, tmp_path / "1.log", ports[1]) as second,
    ):
        router.ports = ports[:2]
        with router.load(6, encoded("JPEG", (1600, 1200), "RGB")):
            assert until(lambda: router.statuses[200] > 20)
            with push_worker(env, tmp_path / "2.log", ports[2]):
                assert until(lambda: router.under_way[ports[0]] > 1, 30)
                router.replace(ports[0], ports[2])
                end(first)
                with push_worker(env, tmp_path / "3.log", ports[3]):
                    assert until(lambda: router.under_way[ports[1]] > 1, 30)
                    router.replace(ports[1], ports[3])
                    end(second)
                    served = router.statuses[200]
                    assert until(lambda: router.statuses[200] > served + 20, 30)
                    router._stop.set()
                    assert until(lambda: not +router.under_way, 30)
    assert set(router.statuses) == {200}, router.statuses
    assert router.again <= 2, "what was sent at the very moment at which a worker left"
