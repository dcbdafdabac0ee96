"""The page's image, built by the steps of its Dockerfile in a fresh environment: small, and it serves the page."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from infra.local.child import Child
from infra.local.ports import LOOPBACK, free_port, listens
from infra.local.twin import Twin
from infra.slim import size
from tests import dockerfile
from tests.conftest import ROOT, absent
from tests.registry_models import NAME
from tests.release.test_image import NO_INDEX
from tests.samples import encoded
from tests.waiting import until

AT_MOST = 180_000_000


@pytest.fixture(scope="module")
def image() -> Iterator[dockerfile.Image]:
    with tempfile.TemporaryDirectory(prefix="page-image-") as folder:
        try:
            yield dockerfile.build(ROOT, Path(folder).resolve(), file="infra/page.Dockerfile")
        except dockerfile.BuildFailed as exc:
            if reason := NO_INDEX.search(str(exc)):
                absent(f"pip finds no packages here: {reason[0]}")
            raise


def test_the_image_is_small(image: dockerfile.Image) -> None:
    whole = size(image.folder)
    assert whole <= AT_MOST, f"{whole:,} bytes"


@pytest.mark.parametrize("registry", ["gs://models/registry", ""], ids=["registry", "shipped"])
def test_the_images_command_serves_the_page(image: dockerfile.Image, tmp_path: Path, registry: str) -> None:
    port = free_port()
    here = {"0.0.0.0": LOOPBACK, "8080": str(port), "/tmp/jobs.db": str(tmp_path / "jobs.db")}
    assert here.keys() <= set(image.command)
    command, url = [here.get(word, word) for word in image.command], f"http://{LOOPBACK}:{port}"
    with Twin(worker="push", log_path=tmp_path / "worker.log", registry=registry, models=registry and NAME) as twin:
        # As in Google Cloud, where the page does not reach the worker.
        env = {**image.env, **twin.env, "WORKER_URL": ""}
        if not registry:
            env["ARTIFACT"] = f"{image.folder}{in_terraform()}"
        page = Child("page", command, log=tmp_path / "page.log", cwd=image.workdir, env=env)

        def fetched(path: str) -> Any:
            return requests.get(f"{url}/api/{path}", timeout=30).json()

        try:
            assert until(lambda: listens(port), 30), page.log.read_text()
            for way in ("topic", "bucket"):
                reply = requests.post(
                    f"{url}/predict?way={way}&features={way == 'topic'}".lower(), encoded(), timeout=60
                )
                assert reply.json()["status"] == "ok", page.log.read_text()
            assert 'id="connection"' in requests.get(url, timeout=10).text
            digest = reply.json()["model"]["digest"]
            card, [drift] = fetched("evaluation/card"), fetched("live")["drift"]
            assert card["digest"] == card["evaluation"]["digest"] == drift["digest"] == digest
            assert "problem" not in drift and drift["images"] == 2
            listed = [each["name"] for each in fetched("models")["models"]]
            assert listed[:2] == ([NAME, f"{NAME}@stable"] if registry else [])
            [job] = [each["job"] for each in fetched("history")["jobs"] if each["command"] == "publish"]
            assert "similar" in fetched(f"rows/{job}/1/similar")
        finally:
            page.stop()


def in_terraform() -> str:
    """Where Terraform says that the image has the shipped artifact."""
    [path] = re.findall(r'"(/app/model/[^"]+)"', (ROOT / "infra" / "page.tf").read_text())
    return str(path)
