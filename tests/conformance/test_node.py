"""Google's Node clients against the Pub/Sub and the Storage server, with the cases in node/*.test.js."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from infra.local.pubsub.server import PubsubServer
from infra.local.storage.notify import Notifier
from infra.local.storage.server import StorageServer
from tests.conftest import ROOT, absent

HERE = Path(__file__).parent / "node"
SIGNER = "signer@p.iam.gserviceaccount.com"

# The files of cases, each with the package that it loads: the two major versions of the Storage client in use.
SUITES = (
    ("pubsub.test.js", "@google-cloud/pubsub"),
    ("storage_objects.test.js", "@google-cloud/storage"),
    ("storage_buckets.test.js", "@google-cloud/storage"),
    ("storage_objects.test.js", "storage-7"),
    ("storage_buckets.test.js", "storage-7"),
)
CASES = [
    pytest.param(*suite, case, id=f"{suite[1].rpartition('/')[2]}: {case}")
    for suite in SUITES
    for case in re.findall(r"^test\('([^']+)'", (HERE / suite[0]).read_text(), re.MULTILINE)
]


@pytest.fixture(scope="module")
def installed() -> Path:
    """A folder with the clients, which npm installs once, and the cases."""
    folder = ROOT / "build" / "node"
    npm = shutil.which("npm")
    if not npm or not shutil.which("node"):
        absent("Node and npm are not installed")
    assert npm
    shutil.copytree(HERE, folder, dirs_exist_ok=True)
    command = [npm, "install", "--prefer-offline", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    if done.returncode:
        absent(f"npm cannot install Google's client: {done.stderr[-500:]}")
    return folder


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The variables by which the cases find both servers and the private key of their signatures."""
    folder = tmp_path_factory.mktemp("keys")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem, private = serialization.Encoding.PEM, folder / "private"
    private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / f"{SIGNER}.pem").write_bytes(public)
    with PubsubServer() as pubsub, StorageServer(notifier=Notifier(pubsub.host, ()), signing_keys=folder) as storage:
        yield {
            **os.environ,
            "PUBSUB_EMULATOR_HOST": pubsub.host,
            "STORAGE_EMULATOR_HOST": storage.url,
            "SIGNING_KEY": str(private),
            "GCE_METADATA_HOST": "127.0.0.1:1",
        }


@pytest.fixture(scope="module")
def errors(installed: Path, environment: Mapping[str, str]) -> Callable[[str, str], dict[str, str | None]]:
    """Runs a suite, once: the error of each case that ran, None where it passed."""

    @cache
    def run(file: str, package: str) -> dict[str, str | None]:
        done = subprocess.run(
            ["node", "--test", "--test-reporter=./results.js", file],
            cwd=installed, env={**environment, "CLIENT": package}, capture_output=True, text=True, timeout=180,
        )  # fmt: skip
        results = [json.loads(line) for line in done.stdout.splitlines()]
        assert results, f"no case of {file} ran: {done.stderr}"
        return {each["name"]: each["error"] for each in results}

    return run


@pytest.mark.slow
@pytest.mark.parametrize(("file", "package", "case"), CASES)
def test_the_node_clients(
    errors: Callable[[str, str], dict[str, str | None]], file: str, package: str, case: str
) -> None:
    found = errors(file, package)
    assert case in found, f"it did not run: {found}"
    assert found[case] is None, found[case]
