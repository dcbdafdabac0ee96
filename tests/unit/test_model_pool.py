"""The models of a registry that a worker serves, with real artifacts in a folder."""

from __future__ import annotations

import json
import logging
import shutil
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from functions.messages.contract import Envelope, Request
from functions.messages.request_decoder import decode
from functions.runtime import model_loader
from functions.runtime.new_aliases import AGAIN_S
from functions.runtime.traffic_split import side_of
from model.artifact.load import Artifact, load_engine
from model.engines.base import Engine
from model.errors import ArtifactError, NotRegistered
from model.registry.aliases import STABLE, Target
from model.registry.registry import Registry
from tests.pool_worker import IMAGE, Worker
from tests.registry_models import NAME, push, seal, set_alias, variant
from tests.waiting import until


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    (tmp_path / "registry").mkdir()
    return Registry.at(str(tmp_path / "registry"))


@pytest.fixture
def targets(registry: Registry, tmp_path: Path) -> list[Target]:
    """Versions 1.0.0, 2.0.0 and 3.0.0; the alias stable names the first."""
    found = push(registry, tmp_path / "scratch", "1.0.0", "2.0.0", "3.0.0")
    set_alias(registry, found[0])
    return found


@pytest.mark.parametrize("in_batches", [False, True])
def test_a_moved_alias_is_followed_and_the_model_before_is_released(
    registry: Registry, targets: list[Target], in_batches: bool
) -> None:
    with ThreadPoolExecutor(4) as threads:
        worker = Worker(registry, executor=threads if in_batches else None)
        assert worker.version() == "1.0.0"
        assert worker.pool.default.batches
        before = weakref.ref(worker.pool.default.batches)
        set_alias(registry, targets[1])
        assert worker.version() == "1.0.0"
        worker.pool.reread()
        assert worker.version() == "2.0.0"
        assert until(lambda: before() is None), "without the garbage collector, which runs rarely"
        [served] = worker.pool.report()["models"]
        assert served == {
            "alias": f"{NAME}@stable",
            "model": NAME,
            "version": "2.0.0",
            "digest": targets[1].digest,
            "engine": "litert",
            "device": "CPU",
        }


def test_many_changes_leave_neither_models_nor_threads(registry: Registry, targets: list[Target]) -> None:
    with ThreadPoolExecutor(4) as threads:
        worker = Worker(registry, executor=threads)
        models, count = [], threading.active_count()
        for number in range(1, 13):
            set_alias(registry, targets[number % 3])
            worker.pool.reread()
            assert worker.version() == targets[number % 3].version
            models.append(weakref.ref(worker.pool.default))
        assert until(lambda: sum(model() is not None for model in models) == 1)
        assert until(lambda: threading.active_count() <= count + 4)  # the executor's


def test_a_request_that_has_its_model_keeps_it(registry: Registry, targets: list[Target]) -> None:
    worker = Worker(registry)
    request = decode(Envelope("m1", IMAGE, {}))
    assert isinstance(request, Request)
    choice = worker.pool.choose(request).result()
    set_alias(registry, targets[1])
    worker.pool.reread()
    response = worker.pipeline.submit(request, choice).result()
    assert response.model and response.model.digest == targets[0].digest
    assert response.predictions[0].label.endswith("1.0.0")


def test_a_request_starts_the_reading_of_aliases(registry: Registry, targets: list[Target]) -> None:
    worker = Worker(registry, aliases_max_age_s=1.0)
    set_alias(registry, targets[1])
    worker.pool.rereading.expire()
    worker.ask()
    worker.pool.rereading._idle.wait(30)
    assert worker.version() == "2.0.0"


def _cut(folder: Path) -> None:
    file = folder / "model.tflite"
    file.write_bytes(file.read_bytes()[:-1])


def _altered(folder: Path) -> None:
    file = folder / "model.tflite"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def _other_golden_scores(folder: Path) -> None:
    golden = json.loads((folder / "golden.json").read_text())
    first = golden["images"][0]
    first["scores"]["litert"] = first["scores"]["litert"][::-1]
    (folder / "golden.json").write_text(json.dumps(golden))
    seal(folder, "2.0.0")


def _no_model(folder: Path) -> None:
    (folder / "model.tflite").write_bytes(b"not a model")
    seal(folder, "2.0.0")


def _climbs_out(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["../../stolen"] = manifest["files"]["labels.txt"]
    (folder / "manifest.json").write_text(json.dumps(manifest))


def _other_size(folder: Path) -> None:
    signature = json.loads((folder / "signature.json").read_text())
    text = json.dumps(signature).replace("28", "56")
    (folder / "signature.json").write_text(text)
    seal(folder, "2.0.0")


def _is_gone(folder: Path) -> None:
    shutil.rmtree(folder)


BROKEN: dict[str, Callable[[Path], None]] = {
    "truncated": _cut,
    "altered": _altered,
    "golden": _other_golden_scores,
    "model.tflite": _no_model,
    "only relative paths": _climbs_out,
    "signature": _other_size,
    "does not exist": _is_gone,
}


def _break(registry: Registry, spoil: Callable[[Path], None]) -> Target:
    """Spoil version 2.0.0 in the registry; what an alias of it holds afterwards."""
    folder = Path(registry.address) / NAME / "2.0.0"
    spoil(folder)
    try:
        return Target("2.0.0", json.loads((folder / "manifest.json").read_text())["digest"])
    except FileNotFoundError:
        return Target("2.0.0", "sha256:" + "0" * 64)


@pytest.mark.parametrize("says", BROKEN)
def test_a_version_that_cannot_be_served_changes_nothing_and_is_named(
    registry: Registry, targets: list[Target], caplog: pytest.LogCaptureFixture, says: str
) -> None:
    worker = Worker(registry)
    set_alias(registry, _break(registry, BROKEN[says]))
    for _ in range(2):
        worker.pool.reread()
    assert worker.version() == "1.0.0"
    assert f"{NAME}@stable 2.0.0: " in worker.problem() and says in worker.problem()
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == ["model not replaced"]
    set_alias(registry, targets[2])
    worker.pool.reread()
    assert worker.version() == "3.0.0" and not worker.problem()


@pytest.mark.parametrize("says", BROKEN)
def test_a_start_with_such_a_version_serves_the_one_before(
    registry: Registry, targets: list[Target], says: str
) -> None:
    set_alias(registry, _break(registry, BROKEN[says]))
    worker = Worker(registry)
    assert worker.version() == "1.0.0"
    assert f"{NAME}@stable 2.0.0: " in worker.problem()


def test_an_alias_with_another_digest_than_its_version_is_refused(registry: Registry, targets: list[Target]) -> None:
    worker = Worker(registry)
    set_alias(registry, Target("2.0.0", targets[2].digest))
    worker.pool.reread()
    assert worker.version() == "1.0.0"
    assert f"has the digest {targets[1].digest}, and the alias names {targets[2].digest}" in worker.problem()


def test_one_version_that_is_broken_does_not_ban_its_copy(registry: Registry, targets: list[Target]) -> None:
    worker = Worker(registry)
    copy = registry.push(Path(registry.address) / NAME / "2.0.0", version="2.0.1").target
    assert copy.digest == targets[1].digest
    set_alias(registry, _break(registry, _cut))
    worker.pool.reread()
    set_alias(registry, copy)
    worker.pool.reread()
    response = worker.ask()
    assert response.model and response.model.version == "2.0.1"


def test_a_start_without_the_alias_or_the_model_says_what_there_is(registry: Registry, targets: list[Target]) -> None:
    with pytest.raises(NotRegistered, match="has no alias candidate; it has stable"):
        Worker(registry, f"{NAME}@candidate")
    with pytest.raises(NotRegistered, match=f"has no alias stable; the models are {NAME}"):
        Worker(registry, "shoes")


def test_a_start_where_nothing_can_be_served_fails(registry: Registry, targets: list[Target]) -> None:
    set_alias(registry, targets[1])
    for version in ("1.0.0", "2.0.0"):
        _cut(Path(registry.address) / NAME / version)
    with pytest.raises(ArtifactError, match="truncated"):
        Worker(registry)


@pytest.mark.parametrize("gone", ["the folder", "the file", "its sense", "the alias"])
def test_a_registry_that_cannot_be_read_changes_nothing(
    registry: Registry, targets: list[Target], tmp_path: Path, gone: str
) -> None:
    worker = Worker(registry)
    aliases = Path(registry.address) / NAME / "aliases.json"
    content = aliases.read_text()
    away = Path(registry.address).rename(tmp_path / "away") if gone == "the folder" else None
    if gone == "the file":
        aliases.unlink()
    if gone == "its sense":
        aliases.write_text(content.replace('"shadow"', '"weight"'))
    if gone == "the alias":
        registry.edit_aliases(NAME, (STABLE,), lambda _: {})
    worker.pool.reread()
    assert worker.version() == "1.0.0" and worker.problem().startswith(f"{NAME} aliases: ")
    if away:
        away.rename(registry.address)
    aliases.write_text(content)
    set_alias(registry, targets[1])
    worker.pool.reread()
    assert worker.version() == "2.0.0" and not worker.problem()


def test_a_canary_gets_its_requests_whatever_was_loaded_when(registry: Registry, targets: list[Target]) -> None:
    early = Worker(registry)
    set_alias(registry, targets[1], "candidate", percent=30.0)
    early.pool.reread()
    late = Worker(registry)  # it has not loaded the canary when the first request for it comes
    ids = [f"request-{number}" for number in range(60)]
    expected = ["2.0.0" if side_of(each, {"candidate": 30.0}) else "1.0.0" for each in ids]
    assert [early.version(request_id=each) for each in ids] == expected
    assert [late.version(request_id=each) for each in ids] == expected
    assert set(expected) == {"1.0.0", "2.0.0"}
    assert {"percent": 30.0}.items() <= early.pool.report()["models"][1].items()


def test_a_canary_of_0_percent_is_loaded_and_gets_no_request(registry: Registry, targets: list[Target]) -> None:
    set_alias(registry, targets[1], "candidate", percent=0.0)
    worker = Worker(registry)
    worker.pool.reread()
    assert {worker.version(request_id=f"request-{number}") for number in range(60)} == {"1.0.0"}
    assert [each["version"] for each in worker.pool.report()["models"]] == ["1.0.0", "2.0.0"]


def test_a_canary_that_cannot_be_served_leaves_its_requests_to_stable(
    registry: Registry, targets: list[Target]
) -> None:
    set_alias(registry, _break(registry, _cut), "candidate", percent=100.0)
    worker = Worker(registry)
    assert worker.version() == "1.0.0"
    worker.pool.reread()
    assert worker.version() == "1.0.0"
    assert f"{NAME}@candidate 2.0.0: " in worker.problem()
    registry.edit_aliases(NAME, ("candidate",), lambda found: {STABLE: found[STABLE]})
    worker.pool.reread()
    assert not worker.problem()


def test_a_request_names_an_alias_a_version_or_a_digest(registry: Registry, targets: list[Target]) -> None:
    set_alias(registry, targets[1], "candidate")
    worker = Worker(registry)
    assert worker.version(NAME) == "1.0.0"
    assert worker.version(f"{NAME}@stable") == "1.0.0"
    assert worker.version(f"{NAME}@candidate") == "2.0.0"
    assert worker.version(f"{NAME}@3.0.0") == "3.0.0"
    assert worker.version(targets[0].digest) == "1.0.0"


def test_an_alias_that_was_just_set_is_served_before_all_aliases_are_read_again(
    registry: Registry, targets: list[Target]
) -> None:
    worker = Worker(registry)
    assert "the aliases of fashion-mnist are stable" in worker.refusal(f"{NAME}@new")
    set_alias(registry, targets[1], "new")
    worker.pool._new_aliases._clock = lambda: time.monotonic() + AGAIN_S
    assert worker.version(f"{NAME}@new") == "2.0.0"
    assert worker.version() == "1.0.0"


def test_what_is_unknown_is_refused_with_what_is_known(
    registry: Registry, targets: list[Target], caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker(registry)
    assert worker.refusal("shoes") == f"model is 'shoes'; this worker serves '{NAME}'"
    assert "the aliases of fashion-mnist are stable" in worker.refusal(f"{NAME}@candidate")
    assert "the latest versions of fashion-mnist are 1.0.0, 2.0.0, 3.0.0" in worker.refusal(f"{NAME}@9.0.0")
    assert "no alias that this worker serves has this digest" in worker.refusal("sha256:" + "0" * 64)
    assert "it must be 1 to 63 of a-z" in worker.refusal(f"{NAME}@../1.0.0")
    _break(registry, _cut)
    assert "this version is not complete" in worker.refusal(f"{NAME}@2.0.0")
    _altered(Path(registry.address) / NAME / "3.0.0")
    assert worker.refusal(f"{NAME}@3.0.0") == (
        f"model is '{NAME}@3.0.0'; it cannot be served, and the worker's log says why"
    ), "a sender sees no path"
    reasons = [record.reason for record in caplog.records if record.message == "model not loaded"]  # type: ignore[attr-defined]
    assert "model.tflite is missing or cut off" in reasons[0] and registry.address in reasons[1]
    assert worker.version() == "1.0.0"


def test_a_shadow_without_a_comparison_topic_is_a_problem_and_not_silence(
    registry: Registry, targets: list[Target]
) -> None:
    set_alias(registry, targets[1], "shade", shadow=True)
    worker = Worker(registry, comparison_topic="")
    worker.pool.reread()
    assert "no COMPARISON_TOPIC" in worker.problem() and f"{NAME}@shade" in worker.problem()
    worker = Worker(registry)
    worker.pool.reread()
    assert not worker.problem()
    assert worker.pool.report()["models"][1]["shadow"] is True
    set_alias(registry, targets[1], "shade", shadow=True, percent=0.0)
    worker.pool.reread()
    assert {"shadow": True, "percent": 0.0}.items() <= worker.pool.report()["models"][1].items()


@pytest.mark.parametrize(("options", "says"), [({"percent": 5.0}, "a percentage"), ({"shadow": True}, "shadow")])
def test_options_of_the_served_alias_are_a_problem_and_not_silence(
    registry: Registry, targets: list[Target], options: dict[str, Any], says: str
) -> None:
    set_alias(registry, targets[1], "beta", **options)
    worker = Worker(registry, f"{NAME}@beta")
    worker.pool.reread()
    assert worker.version() == "2.0.0"
    assert worker.problem().startswith(f"{NAME}@beta 2.0.0: it has {says}, which is ignored")
    set_alias(registry, targets[1], "beta")
    worker.pool.reread()
    assert not worker.problem()


@pytest.fixture
def shoes(registry: Registry, tmp_path: Path, targets: list[Target]) -> list[Target]:
    """Versions of other models than the default one."""
    found = []
    for name in ("hats", "shoes"):
        found += push(registry, tmp_path / "scratch", "1.0.0", name=name)
        set_alias(registry, found[-1], name=name)
    return found


def loaded(worker: Worker) -> list[str]:
    return [each["model"] for each in worker.pool.report()["models"]]


def test_several_models_are_loaded_when_they_are_asked_for(registry: Registry, shoes: list[Target]) -> None:
    worker = Worker(registry, f"{NAME},hats,shoes")
    assert loaded(worker) == [NAME]
    for name in ("shoes", "hats"):
        response = worker.ask(name)
        assert response.model and response.model.name == name
    assert loaded(worker) == [NAME, "hats", "shoes"]
    assert worker.refusal("gloves") == f"model is 'gloves'; this worker serves '{NAME}', 'hats', 'shoes'"


def test_the_least_recently_used_model_is_released_and_the_default_stays(
    registry: Registry, shoes: list[Target]
) -> None:
    size = (Path(registry.address) / NAME / "1.0.0" / "model.tflite").stat().st_size
    worker = Worker(registry, f"{NAME},hats,shoes", model_bytes=2 * size + 1)
    for name, now in [("hats", "hats"), ("shoes", "shoes"), ("hats", "hats"), ("", "hats"), ("shoes", "shoes")]:
        response = worker.ask(name)
        assert response.model and response.model.name == (name or NAME)
        assert loaded(worker) == [NAME, now]


def test_many_threads_that_ask_for_a_model_load_it_once(
    registry: Registry, targets: list[Target], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(registry)
    loads: list[Path] = []

    def counted(artifact: Artifact, *given: Any) -> tuple[str, Engine]:
        loads.append(artifact.folder)
        return load_engine(artifact, *given)

    monkeypatch.setattr(model_loader, "load_engine", counted)
    with ThreadPoolExecutor(8) as threads:
        versions = set(threads.map(lambda number: worker.version(f"{NAME}@2.0.0", f"r{number}"), range(40)))
    assert versions == {"2.0.0"} and len(loads) == 1


def test_the_variants_differ_in_their_labels_alone(tmp_path: Path) -> None:
    one, two = variant(tmp_path / "1", "1.0.0"), variant(tmp_path / "2", "2.0.0")
    assert (one / "model.tflite").read_bytes() == (two / "model.tflite").read_bytes()
    assert (one / "labels.txt").read_bytes() != (two / "labels.txt").read_bytes()
