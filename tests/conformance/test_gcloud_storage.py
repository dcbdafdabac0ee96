"""`gcloud storage` against the Storage server: commonly used commands."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from infra.local.storage.server import StorageServer
from tests.conftest import absent


def test_everyday_gcloud_storage_commands(tmp_path: Path) -> None:
    if not shutil.which("gcloud"):
        absent("gcloud is not installed")
    (tmp_path / "tree" / "in").mkdir(parents=True)
    (tmp_path / "tree" / "in" / "a.txt").write_bytes(b"small\r\n")
    (tmp_path / "tree" / "big").write_bytes(os.urandom(9 << 20))
    with StorageServer() as server:
        env = {
            **os.environ,
            "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": f"{server.url}/storage/v1/",
            "CLOUDSDK_CORE_PROJECT": "local",
            "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
            "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "1",
            "CLOUDSDK_CONFIG": str(tmp_path / "config"),
        }

        def gcloud(*words: str) -> str:
            done = subprocess.run(
                ["gcloud", "storage", *words], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120
            )
            if done.returncode:
                pytest.fail(f"gcloud storage {' '.join(words)}: {done.stderr}")
            return done.stdout

        gcloud("buckets", "create", "gs://desk", "--location=EU")
        assert gcloud("buckets", "describe", "gs://desk", "--format=value(location)").strip() == "EU"
        gcloud("cp", "-r", "tree", "gs://desk")
        assert server.objects("desk") == ["tree/big", "tree/in/a.txt"]
        assert gcloud("cat", "gs://desk/tree/in/a.txt") == "small\n"  # text mode takes the carriage return
        gcloud("cp", "gs://desk/tree/big", "back")
        assert (tmp_path / "back").read_bytes() == (tmp_path / "tree" / "big").read_bytes()
        gcloud("mv", "gs://desk/tree/in/a.txt", "gs://desk/moved")
        assert "moved" in gcloud("ls", "-l", "gs://desk")
        gcloud("rm", "-r", "gs://desk/**")
        assert server.objects("desk") == []
