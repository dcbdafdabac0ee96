"""Registries that are missing, forbidden, silent or not writable: one sentence each, in bounded time."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from google.cloud import storage

from infra.local.ports import free_port
from infra.local.storage.server import StorageServer
from model.__main__ import main
from model.errors import NotRegistered
from model.registry import bucket
from model.registry.registry import Registry
from tests.registry_models import NAME
from tests.service.hung_storage import stalled
from tests.service.local_server import LocalServer

ARTIFACT = "model/artifacts/fashion-mnist"


class Refuses(BaseHTTPRequestHandler):
    """Cloud Storage for an account without a role."""

    def _refuse(self) -> None:
        body = b'{"error": {"code": 403, "message": "me does not have storage.objects.list access"}}'
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(403)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = _refuse

    def log_message(self, format: str, *arguments: object) -> None:
        """Write no line for each request."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[StorageServer]:
    with StorageServer() as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        yield server


@pytest.fixture
def says(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that fails, and return its line on stderr."""

    def run(*words: str) -> str:
        assert main([*words]) == 1
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1 and err.startswith(f"model {words[0]}"), err
        return err

    return run


COMMANDS = (
    ["list"],
    ["show", NAME],
    ["push", ARTIFACT],
    ["rollback", NAME],
    ["gc", NAME, "--yes"],
    ["alias", "set", NAME, "stable", "2.0.0"],
)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_bucket_that_is_missing(words: list[str], server: StorageServer, says: Callable[..., str]) -> None:
    found = says(*words, "--registry", "gs://nowhere/registry")
    assert "the registry's bucket nowhere does not exist; create it, or correct the address" in found


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_bucket_that_is_forbidden(
    words: list[str], says: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with LocalServer(Refuses) as refusing:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", refusing.url)
        found = says(*words, "--registry", "gs://models/registry")
    assert "may not be used by this account: readers need roles/storage.objectViewer" in found


class ListsNothing(Refuses):
    """Cloud Storage where an account may list and read, and the object does not exist: 403 instead of 404."""

    def do_GET(self) -> None:
        if "prefix=" not in self.path:
            return self._refuse()
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")


def test_an_object_that_does_not_exist_may_look_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalServer(ListsNothing) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        registry = Registry.at("gs://models/registry")
        assert registry.aliases(NAME) == {}
        with pytest.raises(NotRegistered, match=r"has no version 1\.0\.0"):
            registry.version(NAME, "1.0.0")
        registry.close()


def test_no_server_answers(says: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setattr(bucket, "RETRY_S", 1.0)
    began = time.monotonic()
    found = says("list", "--registry", "gs://models/registry")
    assert found == "model list: gs://models/registry cannot be reached, no server answers; try again\n"
    assert time.monotonic() - began < 20


def test_a_server_that_hangs(server: StorageServer, says: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    with storage.Client(project="local") as client:
        client.create_bucket("models")
    monkeypatch.setattr(bucket, "RETRY_S", 1.0)
    monkeypatch.setattr(bucket, "CALL_TIMEOUT_S", 0.5)
    began = time.monotonic()
    with stalled(server):
        found = says("rollback", NAME, "--registry", "gs://models/registry")
    assert found == "model rollback: gs://models/registry cannot be reached, no server answers; try again\n"
    assert time.monotonic() - began < 20


def test_a_folder_that_may_not_be_written(says: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:  # below tmp_path, another user could not read it either
        assert main(["push", ARTIFACT, "--registry", folder]) == 0
        capsys.readouterr()
        found = [Path(folder), *Path(folder).rglob("*")]
        for path in found:
            path.chmod(0o555 if path.is_dir() else 0o444)
        is_root = os.geteuid() == 0  # who may write everywhere
        if is_root:
            os.seteuid(65534)
        try:
            said = says("alias", "set", NAME, "stable", "2.0.0", "--registry", folder)
            assert main(["show", f"{NAME}@2.0.0", "--registry", folder]) == 0
        finally:
            if is_root:
                os.seteuid(0)
            for path in found:
                path.chmod(0o755)
    assert f"the registry at {folder} cannot be used: Permission denied" in said


def test_a_file_is_no_registry(says: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for words in COMMANDS:
        assert "cannot be used: Not a directory" in says(*words, "--registry", str(tmp_path / "file"))


def test_a_folder_that_is_missing(says: Callable[..., str], tmp_path: Path) -> None:
    for words in COMMANDS:
        if words[0] != "push":
            assert "the registry folder" in says(*words, "--registry", str(tmp_path / "none"))


@pytest.mark.parametrize("address", ["s3://models/registry", "gs://models", "gs://", "http://models"])
def test_addresses_that_are_refused(address: str, says: Callable[..., str]) -> None:
    assert f"the registry is {address!r}; it must " in says("list", "--registry", address)


def test_no_registry_is_named(says: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REGISTRY", raising=False)
    assert "give --registry a folder or gs://bucket/prefix, or set REGISTRY" in says("list")


def test_no_credentials(says: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    assert "run gcloud auth application-default login" in says("list", "--registry", "gs://models/registry")
