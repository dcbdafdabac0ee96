"""Registries that change, break or are slow under a worker, and requests that are meant to harm it."""

from __future__ import annotations

import json
import logging
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

import pytest

from functions.messages.contract import Envelope, Request
from functions.messages.request_decoder import decode
from functions.runtime.loaded_models import LoadedModels
from functions.runtime.new_aliases import AGAIN_S
from functions.service.models import Choice
from model.artifact.composition import MEAN, Composition, write_combined
from model.artifact.load import engine_bytes, read_artifact
from model.errors import ArtifactError, RegistryError
from model.registry.aliases import Alias, Target
from model.registry.registry import Registry
from model.text import size_text
from tests.pool_worker import IMAGE, Worker
from tests.registry_models import NAME, push, seal, set_alias


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry.at(str(tmp_path / "registry"))


@pytest.fixture
def targets(registry: Registry, tmp_path: Path) -> list[Target]:
    """Versions 1.0.0 and 2.0.0; the alias stable names the first."""
    found = push(registry, tmp_path / "scratch", "1.0.0", "2.0.0")
    set_alias(registry, found[0])
    return found


class Calls:
    """Counts the calls of a registry's storage; `failure` is raised instead of them."""

    def __init__(self, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.failure: Exception | None = None
        storage = registry.storage
        for name in ("read", "files", "folders"):
            monkeypatch.setattr(storage, name, self._counted(getattr(storage, name)))

    def _counted(self, method: Callable[..., object]) -> Callable[..., object]:
        def call(*given: object) -> object:
            self.count += 1
            if self.failure:
                raise self.failure
            return method(*given)

        return call


def calls(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> Calls:
    worker.pool.rereading._every_s = 10_000
    return Calls(worker.pool._registry, monkeypatch)


def test_requests_with_unknown_versions_do_not_become_calls_of_the_bucket(
    registry: Registry, targets: list[Target], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(registry)
    counted = calls(worker, monkeypatch)
    for number in range(2_000):
        assert f"the latest versions of {NAME} are 1.0.0, 2.0.0" in worker.refusal(f"{NAME}@9.{number}.0")
    assert counted.count == 1
    assert not worker.pool._versions._found


def test_requests_with_unknown_aliases_do_not_either(
    registry: Registry, targets: list[Target], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(registry)
    counted = calls(worker, monkeypatch)
    worker.pool._new_aliases._clock = lambda: 0.0
    for number in range(2_000):
        assert f"the aliases of {NAME} are stable" in worker.refusal(f"{NAME}@a{number}")
    assert counted.count == 1


def test_requests_with_a_version_that_is_not_complete_do_not_either(
    registry: Registry, targets: list[Target], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(registry)
    (Path(registry.address) / NAME / "2.0.0" / "labels.txt").unlink()
    counted = calls(worker, monkeypatch)
    for _ in range(100):
        assert "is not complete" in worker.refusal(f"{NAME}@2.0.0")
    assert counted.count <= 4


def test_a_version_that_was_deleted_and_pushed_again_is_the_new_one(
    registry: Registry, targets: list[Target], tmp_path: Path
) -> None:
    worker = Worker(registry)
    now = 0.0
    worker.pool._versions._clock = lambda: now
    assert worker.ask(f"{NAME}@2.0.0").model.digest == targets[1].digest  # type: ignore[union-attr]
    shutil.rmtree(Path(registry.address) / NAME / "2.0.0")
    (tmp_path / "other").mkdir()
    other = push(registry, tmp_path / "other", "2.0.0-x")[0]
    moved = (Path(registry.address) / NAME / "2.0.0-x").rename(Path(registry.address) / NAME / "2.0.0")
    seal(moved, "2.0.0")
    now += 31
    answered = worker.ask(f"{NAME}@2.0.0")
    assert answered.error is None and answered.model
    assert answered.model.digest == other.digest != targets[1].digest


def test_a_version_that_was_found_is_served_while_the_registry_is_gone(
    registry: Registry, targets: list[Target], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(registry)
    now = 0.0
    worker.pool._versions._clock = lambda: now
    assert worker.version(f"{NAME}@2.0.0") == "2.0.0"
    counted = calls(worker, monkeypatch)
    counted.failure = ConnectionError("as when the bucket does not answer")
    now += 31
    assert worker.version(f"{NAME}@2.0.0") == "2.0.0"
    with pytest.raises(ConnectionError):
        worker.ask(f"{NAME}@2.0.1")


def test_a_registry_folder_that_is_gone_refuses_no_version(registry: Registry, targets: list[Target]) -> None:
    worker = Worker(registry)
    away = Path(registry.address).rename(Path(registry.address).with_name("away"))
    with pytest.raises(
        RegistryError, match="registry has no version of fashion-mnist any more"
    ):  # the request is delivered again
        worker.ask(f"{NAME}@2.0.0")
    away.rename(registry.address)
    assert worker.version(f"{NAME}@2.0.0") == "2.0.0"


def test_an_alias_that_was_just_set_is_served_also_where_the_registry_is_slow(
    registry: Registry, targets: list[Target], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, now = Worker(registry), [0.0]
    new_aliases, read = worker.pool._new_aliases, worker.pool._registry.aliases
    new_aliases._clock = lambda: now[0]

    def slow(name: str) -> dict[str, Alias]:
        now[0] += 2 * AGAIN_S
        return read(name)

    monkeypatch.setattr(worker.pool._registry, "aliases", slow)
    set_alias(registry, targets[1], "new")
    assert worker.version(f"{NAME}@new") == "2.0.0"
    assert f"the aliases of {NAME} are new, stable" in worker.refusal(f"{NAME}@none")


def test_a_canary_that_is_a_shadow_too_is_listed_as_what_it_does(registry: Registry, targets: list[Target]) -> None:
    set_alias(registry, targets[1], "candidate", percent=5.0, shadow=True)
    for topic, copies in (("compare", True), ("", False)):
        worker = Worker(registry, comparison_topic=topic)
        worker.pool.reread()
        listed = worker.pool.report()["models"][1]
        assert (listed["percent"], listed["shadow"]) == (5.0, copies)


def test_a_response_names_the_version_of_the_alias_where_two_versions_have_one_digest(
    registry: Registry, targets: list[Target]
) -> None:
    worker = Worker(registry)
    copy = registry.push(Path(registry.address) / NAME / "1.0.0", version="1.0.1").target
    assert copy.digest == targets[0].digest
    set_alias(registry, copy)
    worker.pool.reread()
    answered = worker.ask()
    assert answered.model and answered.model.version == "1.0.1"
    assert worker.pool.report()["version"] == "1.0.1"
    again = worker.ask(f"{NAME}@1.0.0")
    assert again.model and again.model.version == "1.0.0"


def test_an_artifact_of_another_name_or_version_is_not_served_under_an_alias(
    registry: Registry, targets: list[Target]
) -> None:
    worker = Worker(registry)
    seal(Path(registry.address) / NAME / "2.0.0", "7.7.7")
    set_alias(registry, targets[1])
    worker.pool.reread()
    assert worker.version() == "1.0.0"
    assert f"holds {NAME} 7.7.7" in worker.problem()


@pytest.mark.parametrize("failure", [RuntimeError("as native code raises"), ConnectionError("503"), MemoryError()])
def test_a_canary_that_fails_in_any_way_keeps_no_other_alias_from_moving(
    registry: Registry, targets: list[Target], monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    worker = Worker(registry)
    load = worker.pool._loaded._load

    def failing(name: str, target: Target) -> object:
        if target.version == "3.0.0":
            raise failure
        return load(name, target)

    monkeypatch.setattr(worker.pool._loaded, "_load", failing)
    broken = registry.push(Path(registry.address) / NAME / "2.0.0", version="3.0.0").target
    set_alias(registry, broken, "candidate", percent=100.0)
    set_alias(registry, targets[1])
    worker.pool.reread()
    assert worker.version() == "2.0.0"
    assert f"{NAME}@candidate 3.0.0: " in worker.problem()


def test_canaries_that_cannot_be_loaded_move_no_request_of_others(
    registry: Registry, targets: list[Target], tmp_path: Path
) -> None:
    """Each worker splits alike, whatever it has loaded and whenever it started."""
    [third] = push(registry, tmp_path / "scratch", "3.0.0")
    set_alias(registry, targets[1], "first", percent=30.0)
    set_alias(registry, third, "second", percent=30.0)
    early = Worker(registry)
    early.pool.reread()
    ids = [f"request-{number}" for number in range(100)]
    split = [early.version(request_id=each) for each in ids]
    assert set(split) == {"1.0.0", "2.0.0", "3.0.0"}
    broken = registry.push(Path(registry.address) / NAME / "2.0.0", version="4.0.0").target
    (Path(registry.address) / NAME / "4.0.0" / "model.tflite").write_bytes(b"not a model")
    set_alias(registry, broken, "first", percent=30.0)
    early.pool.reread()
    late = Worker(registry)
    expected = ["1.0.0" if version == "2.0.0" else version for version in split]
    assert [early.version(request_id=each) for each in ids] == expected
    assert [late.version(request_id=each) for each in ids] == expected
    late.pool.reread()
    assert [late.version(request_id=each) for each in ids] == expected
    assert early.version(f"{NAME}@first") == "2.0.0", "a request that names the alias keeps the version before"
    [first] = [each for each in early.pool.report()["models"] if each["alias"] == f"{NAME}@first"]
    assert first["percent"] == 0.0 and f"{NAME}@first 4.0.0" in early.problem()


def test_a_model_larger_than_the_memory_for_models_is_refused(
    registry: Registry, targets: list[Target], tmp_path: Path
) -> None:
    members = [Path(registry.address) / NAME / version for version in ("1.0.0", "1.0.0")]
    large = write_combined(tmp_path / "large", NAME, "3.0.0", Composition(MEAN), members)
    size = engine_bytes(large, "litert")
    worker = Worker(registry, model_bytes=size - 1)
    set_alias(registry, registry.push(large.folder).target)
    worker.pool.reread()
    assert worker.version() == "1.0.0"
    says = f"loads {size_text(size)} with the engine litert; MODEL_BYTES is {size - 1:,}: set it higher"
    assert says in worker.problem()
    assert Worker(registry, model_bytes=size).ask().model.version == "3.0.0"  # type: ignore[union-attr]


def test_models_that_take_turns_in_memory_are_no_problem(
    registry: Registry, targets: list[Target], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("hats", "shoes"):
        set_alias(registry, push(registry, tmp_path / "scratch", "1.0.0", name=name)[0], name=name)
    size = engine_bytes(read_artifact(Path(registry.address) / NAME / "1.0.0"), "litert")
    worker = Worker(registry, f"{NAME},hats,shoes", model_bytes=2 * size + 1)
    for name in ("hats", "shoes"):
        answered = worker.ask(name)
        assert answered.model and answered.model.name == name
        worker.pool.reread()
    assert not worker.problem()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_version_that_fails_is_refused_again_without_keeping_what_asked_for_it(
    registry: Registry, targets: list[Target]
) -> None:
    failed: list[ArtifactError] = []

    def load(name: str, target: Target) -> object:
        raise ArtifactError("broken")

    loaded = LoadedModels(load, 1_000_000)  # type: ignore[arg-type]
    for _ in range(50):
        with pytest.raises(ArtifactError, match="broken") as caught:
            loaded.load(NAME, targets[0])
        failed.append(caught.value)
    assert max(map(_depth, failed)) < 5


def _depth(failure: Exception) -> int:
    count, at = 0, failure.__traceback__
    while isinstance(at, TracebackType):
        count, at = count + 1, at.tb_next
    return count


def test_other_requests_wait_for_no_load(
    registry: Registry, targets: list[Target], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    with ThreadPoolExecutor(2) as threads:
        worker = Worker(registry, executor=threads)
        load = worker.pool._loaded._load

        def slow(name: str, target: Target) -> object:
            assert gate.wait(60)
            return load(name, target)

        monkeypatch.setattr(worker.pool._loaded, "_load", slow)
        waiting = [_choose(worker, f"{NAME}@2.0.0", f"r{number}") for number in range(8)]
        large = worker.pipeline.executor.submit(lambda: "other work")
        assert large.result(10) == "other work"
        assert worker.version() == "1.0.0"
        gate.set()
        assert {each.result(60).served.model.version for each in waiting} == {"2.0.0"}
        worker.pipeline.cancel()


def _choose(worker: Worker, model: str, request_id: str) -> Future[Choice]:
    request = decode(Envelope("m1", IMAGE, {"request_id": request_id, "model": model}))
    assert isinstance(request, Request)
    return worker.pool.choose(request)


def test_what_waits_for_a_load_is_cancelled_with_the_worker(
    registry: Registry, targets: list[Target], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    with ThreadPoolExecutor(2) as threads:
        worker = Worker(registry, executor=threads)

        def slow(name: str, target: Target) -> object:
            assert gate.wait(60)
            raise ArtifactError("broken")

        monkeypatch.setattr(worker.pool._loaded, "_load", slow)
        waiting = [_choose(worker, f"{NAME}@2.0.0", f"r{number}") for number in range(20)]
        worker.pipeline.cancel()
        gate.set()
        assert sum(each.cancelled() for each in waiting) >= 16


HOSTILE = [
    *("x" * 10_000, f"{NAME}@", "@stable", f"{NAME}@@x", "\x1b[2J\r\n", "modèle", f"{NAME}@²", f"{NAME}@1.0.0@2", "@"),
    *(f"{NAME}@../../{NAME}/1.0.0", f"{NAME}/1.0.0", "sha256:", "sha256:" + "z" * 10_000, "\u202e", " ", f" {NAME}"),
]


@pytest.mark.parametrize("model", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names_get_a_short_error_on_one_line(registry: Registry, targets: list[Target], model: str) -> None:
    said = Worker(registry).refusal(model)
    assert len(said) < 500 and said.isprintable()


def test_many_aliases_make_no_long_error(registry: Registry, targets: list[Target]) -> None:
    aliases = Path(registry.address) / NAME / "aliases.json"
    body = json.loads(aliases.read_text())
    body["aliases"] |= {f"alias-{number}": body["aliases"]["stable"] for number in range(5_000)}
    aliases.write_text(json.dumps(body))
    assert len(Worker(registry).refusal(f"{NAME}@none")) < 500
