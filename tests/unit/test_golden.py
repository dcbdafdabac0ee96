"""An artifact must reproduce the scores of its golden images before it serves."""

from __future__ import annotations

import base64
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from model.artifact.golden import check_golden, draw, record
from model.artifact.load import load_engine, read_artifact
from model.artifact.manifest import GOLDEN, MANIFEST, describe_file
from model.engines.base import Activations, Features, Images, Scores, Signature
from model.errors import ArtifactError
from tests.fakes import SIGNATURE, BrightnessEngine
from tests.unit.test_artifact import SHIPPED, change_signature, manifest_of, sign


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped artifact, to damage."""
    return Path(shutil.copytree(SHIPPED, tmp_path / "artifact"))


def write_golden(folder: Path, content: bytes | None) -> None:
    """Put other golden images into an artifact and its manifest, or take them out."""
    (folder / GOLDEN).unlink()
    body = manifest_of(folder)
    del body["golden"]
    if content is not None:
        (folder / GOLDEN).write_bytes(content)
        described = describe_file(folder / GOLDEN)
        body["golden"] = {"sha256": described.sha256, "size": described.size}
    (folder / MANIFEST).write_text(json.dumps(body))


class Constant:
    """Gives the same scores for every image."""

    signature: Signature = SIGNATURE
    device = "CPU"

    def __init__(self, *scores: float) -> None:
        self._scores = np.array(scores, np.float32)

    def score(self, images: Images, /) -> Scores:
        return np.tile(self._scores, (len(images), 1))

    def activations(self, images: Images, /) -> Activations | None:
        return None

    def features(self, images: Images, /) -> Features | None:
        return None

    def close(self) -> None:
        pass


def test_the_shipped_artifact_has_golden_images_outside_its_digest(folder: Path) -> None:
    shipped = read_artifact(folder)
    assert shipped.golden and len(json.loads((folder / GOLDEN).read_text())["images"]) == 2
    write_golden(folder, None)
    assert read_artifact(folder).digest == shipped.digest
    load_engine(read_artifact(folder), "litert")[1].close()


def test_golden_images_cover_the_branches_of_the_recipe() -> None:
    files = draw(read_artifact(SHIPPED).signature)
    sizes = [Image.open(io.BytesIO(file)).size for file in files]
    assert sizes == [(28, 28), (160, 128)]
    known = [each["scores"]["litert"] for each in json.loads((SHIPPED / GOLDEN).read_text())["images"]]
    assert np.abs(np.subtract(*known)).max() > 0.3 and max(map(max, known)) > 0.5


@pytest.mark.parametrize(
    "change",
    [
        lambda steps: steps[-1].update(factor=1.0),
        lambda steps: steps[-1].update(offset=0.5),
        lambda steps: steps[-1].update(factor=-0.00392156862745098),
        lambda steps: steps[0]["steps"][3].update(size=8),
        lambda steps: (
            steps.insert(1, {"op": "fit", "size": 5}) or steps.insert(2, {"op": "centre", "width": 28, "height": 28})
        ),
    ],
)
def test_a_recipe_that_changes_golden_scores_is_refused(folder: Path, change: Any) -> None:
    preprocessing = json.loads((folder / "signature.json").read_text())["preprocessing"]
    change(preprocessing["steps"])
    change_signature(folder, preprocessing=preprocessing)
    with pytest.raises(ArtifactError, match=r"litert scores the golden image \d differently from .*: by 0\.\d+, at"):
        load_engine(read_artifact(folder), "litert")


def test_damaged_weights_are_refused(folder: Path) -> None:
    model = bytearray((folder / "model.tflite").read_bytes())
    model[80_000:180_000] = bytes(100_000)
    (folder / "model.tflite").write_bytes(model)
    sign(folder)
    with pytest.raises(ArtifactError, match="litert scores the golden image "):
        load_engine(read_artifact(folder), "litert")


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ((0.2, float("nan"), 0.1), "from nan to nan; scores must be from 0 to 1"),
        ((0.2, float("inf"), 0.1), "scores must be from 0 to 1"),
        ((-0.5, 1.0, 0.5), r"from -0\.5 to 1; scores must be"),
        ((3.0, 1.0, 0.5), r"from 0\.5 to 3; scores must be"),
    ],
)
def test_an_artifact_without_golden_images_must_give_valid_scores(
    tmp_path: Path, scores: tuple[float, ...], said: str
) -> None:
    check_golden(tmp_path, False, "fake", Constant(0.2, 0.9, 0.1))
    with pytest.raises(ArtifactError, match=said):
        check_golden(tmp_path, False, "fake", Constant(*scores))


def test_scores_that_no_longer_sum_to_one_are_refused(tmp_path: Path) -> None:
    (tmp_path / GOLDEN).write_bytes(record(SIGNATURE, {"fake": Constant(0.4, 0.3, 0.3)}))
    check_golden(tmp_path, True, "fake", Constant(0.41, 0.3, 0.29))
    with pytest.raises(ArtifactError, match=r"with a sum of 1\.0900; it must be 1"):
        check_golden(tmp_path, True, "fake", Constant(0.43, 0.33, 0.33))


def test_an_engine_that_cannot_score_is_refused(tmp_path: Path) -> None:
    engine = BrightnessEngine()
    engine.failure = RuntimeError("input is\nmalformed")
    with pytest.raises(ArtifactError, match="fake scores the golden image 0 not at all: input is malformed"):
        check_golden(tmp_path, False, "fake", engine)


def test_altered_golden_images_are_refused(folder: Path) -> None:
    (folder / GOLDEN).write_bytes((folder / GOLDEN).read_bytes().replace(b"0.", b"1.", 1))
    with pytest.raises(ArtifactError, match=r"^golden\.json in .* is altered"):
        read_artifact(folder)
    (folder / GOLDEN).unlink()
    with pytest.raises(ArtifactError, match=r"^golden\.json is missing"):
        read_artifact(folder)


PNG = base64.b64encode(draw(SIGNATURE)[0]).decode()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[]", r"golden\.json must be "),
        (b'{"images": []}', "holds no image"),
        (b"{", r"golden\.json is not JSON"),
        (b"[" * 100_000, r"golden\.json is nested too deeply"),
        (json.dumps({"images": [{"png": "*", "scores": {"litert": []}}]}).encode(), "must be "),
        (json.dumps({"images": [{"png": PNG, "scores": {"other": [1]}}]}).encode(), "scores of litert"),
        (json.dumps({"images": [{"png": PNG, "scores": {"litert": [1]}}]}).encode(), "must have 10 finite scores"),
        (
            json.dumps({"images": [{"png": PNG, "scores": {"litert": [float("nan")] * 10}}]}).encode(),
            "must have 10 finite scores",
        ),
        (json.dumps({"images": [{"png": "AAAA", "scores": {"litert": [0.1] * 10}}]}).encode(), "not at all: the bytes"),
    ],
)
def test_invalid_golden_images_are_refused(folder: Path, content: bytes, said: str) -> None:
    write_golden(folder, content)
    with pytest.raises(ArtifactError, match=said):
        load_engine(read_artifact(folder), "litert")
