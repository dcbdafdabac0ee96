"""Versions that workers download from a registry in a bucket: what stays on the disk, and what a full disk does."""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from model.artifact.manifest import MANIFEST
from model.errors import FilesUnavailable
from model.registry.aliases import Target
from model.registry.downloads import Downloads
from model.registry.registry import Registry
from tests.pool_worker import Worker
from tests.registries import replace
from tests.registry_models import NAME, push, set_alias
from tests.waiting import until

pytestmark = pytest.mark.parametrize("registry_address", ["bucket"], indirect=True)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def targets(registry: Registry, tmp_path: Path) -> list[Target]:
    """Versions 1.0.0 and 2.0.0; the alias stable names the first."""
    found = push(registry, tmp_path / "scratch", "1.0.0", "2.0.0")
    set_alias(registry, found[0])
    return found


def manifests(cache: Path) -> list[Path]:
    """The versions in the cache."""
    return sorted(cache.rglob(MANIFEST))


def test_a_model_that_is_released_takes_no_files_of_a_later_one(
    registry: Registry, targets: list[Target], cache: Path
) -> None:
    downloads = Downloads(registry, cache)
    earlier, later = downloads.fetch(NAME, targets[0]), downloads.fetch(NAME, targets[0])
    downloads.forget(earlier)
    assert (later / MANIFEST).is_file() and not earlier.exists()
    downloads.forget(later)
    assert not manifests(cache)


def test_a_worker_keeps_the_files_of_the_models_that_it_has(
    registry: Registry, targets: list[Target], cache: Path
) -> None:
    worker = Worker(registry, artifact_cache=str(cache))
    for number in range(4):
        set_alias(registry, targets[number % 2])
        worker.pool.reread()
    assert until(lambda: gc.collect() is not None and len(manifests(cache)) == 1)
    assert worker.version() == "2.0.0"


FETCH = """
import sys, time
from pathlib import Path
from model.registry.downloads import Downloads
from model.registry.names import parse_ref
from model.registry.registry import Registry
registry = Registry.at(sys.argv[1])
Downloads(registry, Path(sys.argv[2])).fetch("fashion-mnist", registry.target(parse_ref("fashion-mnist@stable")))
print("fetched", flush=True)
time.sleep(60)
"""


def test_what_a_killed_process_left_is_deleted_and_what_a_living_one_has_is_not(
    registry: Registry, targets: list[Target], cache: Path
) -> None:
    command = [sys.executable, "-c", FETCH, registry.address, str(cache)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        assert other.stdout.readline() == "fetched\n"
        [theirs] = manifests(cache)
        # As after a restart of a container: the process that left the folder had the id of a living one.
        left = cache / f"process-{os.getpid()}"
        left.mkdir()
        (left / "half").write_bytes(b"x")
        ours = Downloads(registry, cache).fetch(NAME, targets[1])
        assert not left.exists() and theirs.is_file()
        other.send_signal(signal.SIGKILL)
        other.wait()
        assert until(lambda: _fetches(registry, targets[1], cache) and not theirs.exists())
    assert ours.is_dir()


def _fetches(registry: Registry, target: Target, cache: Path) -> bool:
    return Downloads(registry, cache).fetch(NAME, target).is_dir()


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 10**9 - 1_000_000, 1_000_000))


def test_a_full_disk_is_said_before_the_download_and_costs_no_request(
    registry: Registry, targets: list[Target], cache: Path, request: pytest.FixtureRequest
) -> None:
    worker = Worker(registry, artifact_cache=str(cache))
    request.getfixturevalue("full_disk")
    set_alias(registry, targets[1])
    worker.pool.reread()
    assert worker.version() == "1.0.0"
    assert "on a disk with 1.0 MB free" in worker.problem() and "name a folder" in worker.problem()
    with pytest.raises(FilesUnavailable):  # the broker delivers it again, perhaps to another worker
        worker.ask(f"{NAME}@2.0.0")


def test_a_manifest_with_a_size_that_no_disk_has_downloads_nothing(
    registry: Registry, targets: list[Target], cache: Path, tmp_path: Path
) -> None:
    stored = registry.storage.read(f"{NAME}/2.0.0/{MANIFEST}")
    assert stored
    body = json.loads(stored.content)
    body["files"]["labels.txt"]["size"] = 1 << 40
    replace(registry, f"2.0.0/{MANIFEST}", json.dumps(body).encode(), tmp_path)
    with pytest.raises(FilesUnavailable, match=r"2\.0\.0 has 1099\d+\.\d MB"):
        Downloads(registry, cache).fetch(NAME, targets[1])
    assert not manifests(cache)
