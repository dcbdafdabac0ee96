"""The Beam pipeline of docs/bulk.md, on the DirectRunner, gives the same responses as the worker."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from functions.bootstrap import build
from functions.messages.contract import Envelope, encode_response
from functions.service.handler import Handler
from functions.settings import Settings
from infra.check.toolchain import Unavailable, environment
from tests.conftest import ROOT, absent
from tests.fakes import engine_of, respond
from tests.hostile import COSTLY
from tests.samples import BAD_IMAGES

PAGE = (ROOT / "docs" / "bulk.md").read_text()
ARTIFACT = ROOT / "model" / "artifacts" / "fashion-mnist"
HOSTILE = ("png of crumbs", "jpeg of scans", "tiff of a huge tile")
KEPT = ("status", "predictions", "multi_label", "labels", "error", "model")

Bulk = Callable[[Mapping[str, bytes]], dict[str, Any]]


@pytest.fixture(scope="module")
def beam() -> Path:
    """The Python that has Beam, which our own environment cannot, and our decoder."""
    try:
        python = environment(ROOT / "build" / "beam" / "test", ROOT / "model" / "requirements-beam.txt")
    except Unavailable as exc:
        absent(str(exc))
        raise
    (pillow,) = re.findall(r"^pillow==.*$", (ROOT / "functions" / "requirements.txt").read_text(), re.M)
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", pillow], check=True)
    assert PAGE.count(f"pip install --no-deps {pillow}\n") == PAGE.count("--no-deps") == 2
    return python


@pytest.fixture
def bulk(beam: Path, tmp_path: Path) -> Bulk:
    """Responses of the documented pipeline, by name."""

    def run(files: Mapping[str, bytes]) -> dict[str, Any]:
        for name, data in files.items():
            (tmp_path / name).write_bytes(data)
        (tmp_path / "names.txt").write_text("".join(f"{tmp_path / name}\n" for name in [*files, "gone.png"]))
        (source,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
        source = source.replace("gs://models/shoes", str(ARTIFACT)).replace("gs://answers", str(tmp_path))
        done = subprocess.run(
            [beam, "-c", source, "--runner=DirectRunner"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert lines(tmp_path, "unread-*") == [str(tmp_path / "gone.png")]
        answers = [json.loads(line) for line in lines(tmp_path, "answers-*")]
        assert len(answers) == len(files)
        return {Path(answer.pop("image")).name: answer for answer in answers}

    return run


@pytest.fixture
def worker() -> Iterator[Handler]:
    handler = build(Settings(project="p"))
    yield handler
    engine_of(handler).close()


def lines(folder: Path, pattern: str) -> list[str]:
    return [line for shard in folder.glob(pattern) for line in shard.read_text().splitlines()]


def said(worker: Handler, files: Mapping[str, bytes]) -> dict[str, Any]:
    """The response of the worker to the same bytes."""
    bodies = {name: json.loads(encode_response(respond(worker, Envelope("m", data)))) for name, data in files.items()}
    return {name: {key: body[key] for key in KEPT} for name, body in bodies.items()}


def test_good_and_bad_images_are_answered_as_by_the_worker(bulk: Bulk, worker: Handler) -> None:
    samples = {path.name: path.read_bytes() for path in (ROOT / "client" / "samples").glob("*.*")}
    bad = {name.replace("/", "-"): data for name, (data, _) in BAD_IMAGES.items()}
    files = {**samples, **bad, **{name: COSTLY[name]() for name in HOSTILE}, "large": bytes(20_000_002)}
    expected = said(worker, files)
    expected["large"]["error"]["message"] = expected["large"]["error"]["message"].replace("20,000,002", "20,000,001")
    answers = bulk({**files, "empty": b""})
    assert answers.pop("empty")["error"] == {"code": "invalid_image", "message": "the image is empty (0 bytes)"}
    assert answers == expected
    codes = {answer["error"]["code"] for answer in expected.values() if answer["error"]}
    assert codes == {"invalid_image", "image_too_large", "unsupported_format"}


def test_photos_are_answered_as_by_the_worker(bulk: Bulk, worker: Handler, shared_data: Path) -> None:
    photos = sorted((shared_data / "imagenet-samples").glob("*.JPEG"))
    files = {path.name: path.read_bytes() for path in photos}
    assert len(files) > 200
    assert bulk(files) == said(worker, files)
