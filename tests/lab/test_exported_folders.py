"""Folders that transformers and timm save, with an ONNX file next to them, are served as PyTorch scores them.

CI has no torch. `pip install torch==2.14.1 torchvision==0.29.1 transformers==5.24.0 timm==1.0.31` and the marker
`optional` run these tests. Their weights are random, because no others can be had here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("keras", reason="no TensorFlow: pip install -r model/requirements.txt")

from model.artifact.load import load_engine
from model.training.export import variants
from model.training.importing.import_model import ImportOptions, import_model
from tests.conftest import require
from tests.fakes import UNMEASURED

require("onnx")
require("onnxruntime")

_NEEDED = "torch", "torchvision", "transformers", "timm"

_FAMILIES = {
    *("transformers-ViT", "transformers-DeiT", "transformers-Beit", "transformers-Swin", "transformers-ConvNext"),
    *("transformers-ResNet", "transformers-MobileNetV2", "transformers-EfficientNet"),
    *("timm-resnet18", "timm-efficientnet_lite0", "timm-mobilenetv3_small_100", "timm-vit_tiny_patch16_224"),
}

pytestmark = [
    pytest.mark.optional,
    pytest.mark.timeout(600),  # torch alone takes half a minute to load on a busy machine
    pytest.mark.skipif(not all(map(find_spec, _NEEDED)), reason=f"not all are installed: {', '.join(_NEEDED)}"),
]


@pytest.fixture(scope="module")
def exported(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders by name."""
    place = tmp_path_factory.mktemp("exported")
    command = [sys.executable, "-m", "tests.lab.exported_folders", str(place)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, timeout=560, env=environment)
    assert done.returncode == 0, done.stderr
    assert {folder.name for folder in place.iterdir()} == _FAMILIES
    return place


@pytest.mark.parametrize("name", sorted(_FAMILIES))
def test_a_folder_is_served_as_pytorch_scores_it(
    name: str, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variants, "measure_speeds", lambda targets, **_: [UNMEASURED for _ in targets])
    meaning = "logits" if name.startswith("timm") else None
    check_scores(exported / name, ImportOptions(str(exported / name), outputs=meaning), tmp_path / "out")


@pytest.mark.parametrize("name", sorted(name for name in _FAMILIES if name.startswith("transformers")))
def test_weights_alone_are_served_as_pytorch_scores_them(
    name: str, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variants, "measure_speeds", lambda targets, **_: [UNMEASURED for _ in targets])
    shutil.copytree(exported / name, tmp_path / name, ignore=shutil.ignore_patterns("onnx"))
    check_scores(exported / name, ImportOptions(str(tmp_path / name)), tmp_path / "out")


def check_scores(folder: Path, options: ImportOptions, out: Path) -> None:
    """The scores of the artifact for the folder's images are those of PyTorch."""
    artifact = import_model(options, out)
    assert artifact.signature.labels == tuple(f"label {number}" for number in range(5))
    _, engine = load_engine(artifact)
    scores, expected = engine.score(np.load(folder / "images.npy")), np.load(folder / "scores.npy")
    engine.close()
    np.testing.assert_allclose(scores, expected, atol=1e-4)
    assert expected.std(axis=0).max() > 1e-4, "the images get different scores"
