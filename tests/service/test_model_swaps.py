"""Aliases of a registry that move while workers serve: real workers, broker, storage and clients."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from functions.messages.comparison import decode_comparison
from functions.messages.contract import Response
from functions.runtime.traffic_split import side_of
from infra.local import worker as workers
from infra.local.ports import free_port
from infra.local.twin import Delivery, Twin
from model.registry.aliases import Target
from model.registry.registry import Registry
from tests.bench.parts import descendants
from tests.pubsub_client import PubsubClient
from tests.registry_models import NAME, push, set_alias
from tests.samples import encoded
from tests.waiting import until

IMAGE = encoded()
VERSIONS = "1.0.0", "2.0.0"
COMPARE = "compare"


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Registry, list[Target]]:
    """A registry in a folder, with two versions."""
    folder = tmp_path_factory.mktemp("registry")
    registry = Registry.at(str(folder / "registry"))
    return registry, push(registry, folder, *VERSIONS)


@pytest.fixture
def registry(pushed: tuple[Registry, list[Target]]) -> Registry:
    """The same, where the alias stable alone is set, to the first version."""
    registry, targets = pushed
    registry.edit_aliases(NAME, (), lambda _: {})
    set_alias(registry, targets[0])
    return registry


@pytest.fixture
def targets(pushed: tuple[Registry, list[Target]]) -> list[Target]:
    return pushed[1]


@contextmanager
def serving(registry: str, delivery: Delivery, monkeypatch: pytest.MonkeyPatch, **env: str) -> Iterator[Twin]:
    """A twin whose worker reads the aliases each second."""
    settings = {"REGISTRY": registry, "MODELS": NAME, "ALIASES_MAX_AGE_S": "1", "COMPARISON_TOPIC": COMPARE, **env}
    with Twin(worker=delivery, worker_env=settings) as twin:
        for name, value in twin.env.items():
            monkeypatch.setenv(name, value)
        yield twin


class Load:
    """Publishes numbered requests in a thread at a steady rate, until it is stopped."""

    def __init__(self, client: PubsubClient, per_s: float = 100.0) -> None:
        self._client, self._pause_s = client, 1 / per_s
        self._stopped = threading.Event()
        self.ids: set[str] = set()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stopped.wait(self._pause_s) and len(self.ids) < 10_000:
            request_id = f"load-{len(self.ids)}"
            self._client.publish(IMAGE, request_id=request_id)
            self.ids.add(request_id)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()


def check(responses: list[Response], targets: list[Target]) -> Counter[str]:
    """Whether each response is whole: its labels, version and digest are of one version. Returns how many of each."""
    digests = {target.version: target.digest for target in targets}
    found: Counter[str] = Counter()
    for response in responses:
        assert response.error is None and response.model
        version = response.model.version
        assert response.model.digest == digests[version]
        assert {each.label.split()[-1] for each in response.predictions} == {version}
        found[version] += 1
    return found


def ask(client: PubsubClient, *request_ids: str, **attributes: str) -> list[Response]:
    for request_id in request_ids:
        client.publish(IMAGE, request_id=request_id, **attributes)
    responses = client.responses(set(request_ids))
    assert {response.request_id for response in responses} == set(request_ids)
    return responses


def serves(client: PubsubClient, version: str) -> Callable[[], bool]:
    """Whether a request is answered by a version."""
    numbers = iter(range(1_000))

    def answered() -> bool:
        [response] = ask(client, f"serves-{version}-{next(numbers)}-{time.monotonic_ns()}")
        return bool(response.model and response.model.version == version)

    return answered


@pytest.mark.slow
@pytest.mark.parametrize("delivery", ["push", "pull"])
def test_no_request_is_lost_or_mixed_while_an_alias_moves(
    registry: Registry, targets: list[Target], delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(registry.address, delivery, monkeypatch) as twin, PubsubClient(twin.project) as client:

        def replaced() -> int:
            return twin.log_path.read_text().count('"model replaced"')

        with Load(client) as load:
            for moved in range(1, 6):
                enough = len(load.ids) + 60
                assert until(lambda enough=enough: len(load.ids) > enough)  # type: ignore[misc]
                set_alias(registry, targets[moved % 2])
                assert until(lambda moved=moved: replaced() == moved)  # type: ignore[misc]
        responses = client.responses(set(load.ids), 60)
        counts = check(responses, targets)
        assert {response.request_id for response in responses} == load.ids
        assert min(counts[version] for version in VERSIONS) > 50, counts
        assert until(lambda: not client.unacked("req_predict-sub"))
        assert '"nacked"' not in twin.log_path.read_text()


@pytest.mark.slow
def test_push_and_pull_workers_give_a_request_the_same_side_at_each_delivery(
    registry: Registry, targets: list[Target], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_alias(registry, targets[1], "candidate", percent=40.0)
    ids = [f"request-{number}" for number in range(60)]
    expected = {each: VERSIONS[bool(side_of(each, {"candidate": 40.0}))] for each in ids}
    assert set(expected.values()) == set(VERSIONS)
    for delivery in ("push", "pull"):
        with serving(registry.address, delivery, monkeypatch) as twin, PubsubClient(twin.project) as client:
            for _ in range(2):
                responses = ask(client, *ids)
                check(responses, targets)
                assert {each.request_id: each.model and each.model.version for each in responses} == expected


def healthy(twin: Twin) -> dict[str, Any]:
    with urllib.request.urlopen(f"{twin.worker_url}/ready", timeout=10) as reply:
        body: dict[str, Any] = json.load(reply)
        return body


@pytest.mark.slow
def test_a_broken_version_takes_no_worker_down_and_rollback_takes_it_back(
    registry: Registry, targets: list[Target], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = registry.push(Path(registry.address) / NAME / "2.0.0", version=f"3.0.{os.getpid()}").target
    file = Path(registry.address) / NAME / broken.version / "model.tflite"
    file.write_bytes(b"not a model".ljust(file.stat().st_size))
    with serving(registry.address, "push", monkeypatch) as twin, PubsubClient(twin.project) as client:
        set_alias(registry, broken)
        assert until(lambda: ask(client, f"b{time.monotonic_ns()}") and "problem" in healthy(twin), 30)
        assert f"{NAME}@stable {broken.version}: model.tflite" in healthy(twin)["problem"]
        assert check(ask(client, "still"), targets) == {"1.0.0": 1}
        set_alias(registry, targets[1])
        assert until(serves(client, "2.0.0"), 30)
        assert until(lambda: "problem" not in healthy(twin))
        assert '"model not replaced"' in twin.log_path.read_text()


@pytest.mark.slow
def test_shadows_score_for_the_comparison_topic_alone(
    registry: Registry, targets: list[Target], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_alias(registry, targets[1], "shade", shadow=True)
    with serving(registry.address, "pull", monkeypatch) as twin, PubsubClient(twin.project) as client:
        topic = f"projects/{twin.project}/topics/{COMPARE}"
        subscription = f"projects/{twin.project}/subscriptions/{COMPARE}"
        client.publisher.create_topic(name=topic)
        client.subscriber.create_subscription(name=subscription, topic=topic)
        # The shadow is loaded by the first reading of the aliases: requests before it are not copied.
        compared: dict[str, Any] = {}

        def arrived() -> bool:
            ask(client, f"shadowed-{time.monotonic_ns()}")
            pulled = client.subscriber.pull(subscription=subscription, max_messages=100, timeout=10)
            for each in pulled.received_messages:
                compared[each.message.attributes["request_id"]] = each.message
            return bool(compared)

        assert until(arrived, 30)
        request_id, message = next(iter(compared.items()))
        comparison = decode_comparison(message.data)
        assert dict(message.attributes) == {"request_id": request_id, "alias": "shade", "model": NAME}
        assert check([comparison.served, comparison.shadow], targets) == {"1.0.0": 1, "2.0.0": 1}
        assert check(ask(client, "last"), targets) == {"1.0.0": 1}


@pytest.mark.slow
@pytest.mark.parametrize("status", [403, 404, 503])
def test_a_bucket_that_is_gone_for_a_while_stops_no_worker(
    status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Twin(worker=None) as twin:
        for name, value in twin.env.items():
            monkeypatch.setenv(name, value)
        remote = Registry.at("gs://models/registry")
        kept = push(remote, tmp_path, *VERSIONS)
        set_alias(remote, kept[0])
        settings = {"REGISTRY": remote.address, "MODELS": NAME, "ALIASES_MAX_AGE_S": "1"}
        child = workers.start_pull({**twin.env, **settings}, tmp_path / "worker.log")
        try:
            workers.wait_pull(child)
            with PubsubClient(twin.project) as client:
                assert check(ask(client, "first"), kept) == {"1.0.0": 1}
                twin.storage.fail(status, 100_000, "aliases.json")
                if status < 500:  # what may be temporary is tried again for longer before it is said
                    assert until(lambda: b'"model not replaced"' in child.log.read_bytes(), 30)
                else:
                    time.sleep(3)
                assert check(ask(client, "meanwhile"), kept) == {"1.0.0": 1}
                twin.storage.fail(times=0)
                set_alias(remote, kept[1])
                assert until(serves(client, "2.0.0"), 60)
        finally:
            child.stop()


@pytest.mark.slow
def test_a_worker_that_runs_only_during_requests_finishes_the_change(
    registry: Registry, targets: list[Target], tmp_path: Path
) -> None:
    # As in Cloud Run, the process has no CPU between requests. Here the engine is one that takes seconds to load.
    port = free_port()
    env = {"REGISTRY": registry.address, "MODELS": NAME, "ALIASES_MAX_AGE_S": "1", "HTTP_ENDPOINT": "on"}
    env |= {"GOOGLE_CLOUD_PROJECT": "p", "ENGINE": "savedmodel"}
    child = workers.start_push(port, env, tmp_path / "worker.log")
    try:
        workers.wait_push(child, port)
        set_alias(registry, targets[1])
        versions: list[str] = []
        while len(versions) < 8 and versions[-1:] != ["2.0.0"]:
            signal_all(child.pid, signal.SIGSTOP)
            time.sleep(3)
            signal_all(child.pid, signal.SIGCONT)
            request = urllib.request.Request(f"http://127.0.0.1:{port}/predict", IMAGE, method="POST")
            with urllib.request.urlopen(request, timeout=50) as reply:
                versions.append(json.load(reply)["model"]["version"])
        assert versions[0] == "1.0.0" and versions[-1] == "2.0.0", versions
    finally:
        signal_all(child.pid, signal.SIGCONT)
        child.stop()


def signal_all(process: int, sent: signal.Signals) -> None:
    """Send a signal to a process and all that it started."""
    for each in descendants(process):
        os.kill(each, sent)
