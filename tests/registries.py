"""Registries in a folder and in a bucket of the twin's Cloud Storage. Storages that call a test before they write."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.cloud import storage

from infra.local.storage.server import StorageServer
from model.registry.registry import Registry
from model.registry.storage import Entry, Storage
from tests.registry_models import NAME, variant

_BUCKETS = itertools.count()


@pytest.fixture(scope="module")
def storage_server() -> Iterator[StorageServer]:
    """Cloud Storage."""
    with StorageServer() as server:
        yield server


@pytest.fixture(params=["folder", "bucket"])
def registry_address(
    request: pytest.FixtureRequest, storage_server: StorageServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """An empty registry. No project is known, as on a machine with nothing but credentials."""
    if request.param == "folder":
        return str(tmp_path / "registry")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage_server.url)
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)
    with storage.Client(project="local") as client:
        bucket = client.create_bucket(f"models-{next(_BUCKETS)}")
    return f"gs://{bucket.name}/registry"


@pytest.fixture
def registry(registry_address: str) -> Iterator[Registry]:
    registry = Registry.at(registry_address)
    yield registry
    registry.close()


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Artifacts by version, each with other labels."""
    made: dict[str, Path] = {}

    def artifact(version: str) -> Path:
        if version not in made:
            made[version] = variant(tmp_path_factory.mktemp("artifact") / "made", version)
        return made[version]

    return artifact


class Hooked:
    """A storage that calls `before` with the method and the path before it writes, uploads or deletes."""

    def __init__(self, storage: Storage, before: Callable[[str, str], None]) -> None:
        self._storage, self._before = storage, before

    def write(self, path: str, content: bytes, generation: str) -> None:
        self._before("write", path)
        self._storage.write(path, content, generation)

    def upload(self, path: str, file: Path) -> None:
        self._before("upload", path)
        self._storage.upload(path, file)

    def delete(self, path: str, entry: Entry) -> None:
        self._before("delete", path)
        self._storage.delete(path, entry)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)


def hooked(registry: Registry, method: str, end: str, action: Callable[[], object]) -> Registry:
    """The registry; `action` runs once, before the first call of this method for a path that ends like this."""
    left = [action]

    def before(called: str, path: str) -> None:
        if left and called == method and path.endswith(end):
            left.pop()()

    return Registry(Hooked(registry.storage, before))


def entries(registry: Registry) -> dict[str, Entry]:
    return dict(registry.storage.files(NAME))


def replace(registry: Registry, path: str, content: bytes, scratch: Path) -> None:
    (scratch / "replaced").write_bytes(content)
    registry.storage.upload(f"{NAME}/{path}", scratch / "replaced")


def delete(registry: Registry, path: str) -> None:
    registry.storage.delete(f"{NAME}/{path}", entries(registry)[path])
