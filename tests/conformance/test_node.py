"""Google's Node client against the Pub/Sub server, with the cases in node/pubsub.test.js."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from infra.local.pubsub.server import PubsubServer
from tests.conftest import absent

HERE = Path(__file__).parent / "node"
CASES = 10


@pytest.fixture
def installed(root: Path) -> Path:
    """A folder with the client, which npm installs once."""
    folder = root / "build" / "node"
    npm = shutil.which("npm")
    if not npm or not shutil.which("node"):
        absent("Node and npm are not installed")
    assert npm
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "pubsub.test.js"):
        shutil.copy(HERE / name, folder)
    command = [npm, "install", "--prefer-offline", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    if done.returncode:
        pytest.skip(f"npm cannot install Google's client: {done.stderr[-500:]}")
    return folder


@pytest.mark.slow
def test_the_node_pubsub_client(installed: Path) -> None:
    with PubsubServer() as server:
        env = {**os.environ, "PUBSUB_EMULATOR_HOST": server.host, "GCE_METADATA_HOST": "127.0.0.1:1"}
        done = subprocess.run(
            ["node", "--test", "--test-reporter=tap", "pubsub.test.js"],
            cwd=installed, env=env, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    assert f"\n# pass {CASES}\n" in done.stdout and done.returncode == 0, done.stdout + done.stderr
