"""The three lines of docs/models.md export networks of torchvision, which are then served as PyTorch scores them.

CI has no torch. `pip install torch==2.14.1 torchvision==0.29.1 onnxscript` and the marker `optional` run these tests.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("keras", reason="no TensorFlow: pip install -r model/requirements.txt")

from model.__main__ import main
from model.artifact.load import load_engine, read_artifact
from model.engines.base import Signature
from model.preprocessing.recipe import run_recipe
from model.training.export import variants
from model.training.importing.recipe import recipe
from tests.conftest import require
from tests.fakes import UNMEASURED

require("onnx")
require("onnxruntime")

pytestmark = [pytest.mark.optional, pytest.mark.filterwarnings("ignore")]

LINES = re.compile(
    r"^```python\n((?:.*torchvision\.models.*\n)(?:.*\n){2})```\n\n    predictions (model import .*)$", re.M
)


SCORE = """
import numpy as np, torch, torchvision, torchvision.transforms as t
from PIL import Image
torch.manual_seed(0)
{build}
for layer in network.modules():  # without statistics of its own, a random network gives the same scores to all images
    if isinstance(layer, torch.nn.BatchNorm2d):
        layer.momentum = None
network.train()(torch.randn(8, 3, 224, 224))
network.eval()
{export}
size, mean, deviation = (t.Resize(256), t.CenterCrop(224)), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
prepare = t.Compose([*size, t.ToTensor(), t.Normalize(mean, deviation)])
np.save("prepared.npy", prepare(Image.open("photo.png"))[None].numpy())
with torch.no_grad():
    np.save("scores.npy", torch.softmax(network(torch.from_numpy(np.load("images.npy"))), 1).numpy())
"""
"""A process of its own, as torch and TensorFlow do not get along in one."""


@pytest.mark.skipif(not (find_spec("torch") and find_spec("torchvision")), reason="torch is not installed")
@pytest.mark.parametrize("name", ["resnet50", "densenet121", "mobilenet_v2"])
def test_a_network_of_torchvision_is_served_as_pytorch_scores_it(
    name: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_data: Path
) -> None:
    """With random weights, because no others can be had here."""
    found = LINES.search((root / "docs" / "models.md").read_text())
    assert found, "docs/models.md has the lines"
    lines, command = (part.replace("resnet50", name) for part in found.groups())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(variants, "measure_speeds", lambda targets, *_: [UNMEASURED for _ in targets])
    photo = Image.open(shared_data / "imagenet-samples" / "n02111889_Samoyed.JPEG").convert("RGB")
    photo.save("photo.png")
    ours = run_recipe(photo, Signature(224, 224, 3, "float32", (), recipe("torch", 224, 224)))
    noise = np.random.default_rng(0).normal(size=(3, 224, 224, 3))
    images = np.concatenate([ours, ours[:, ::-1], noise]).astype(np.float32)
    np.save("images.npy", images.transpose(0, 3, 1, 2))
    build, export = lines.replace('"DEFAULT"', "None").split("\n", 1)
    script = SCORE.format(build=build, export=export)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    assert np.abs(ours.transpose(0, 3, 1, 2) - np.load("prepared.npy")).mean() < 0.1, "the recipe is torchvision's"

    assert main([*shlex.split(command)[1:], "--engines", "onnx", "--out", "out"]) == 0
    artifact = read_artifact(tmp_path / "out")
    assert artifact.signature.preprocessing == recipe("torch", 224, 224)
    _, engine = load_engine(artifact, threads=2)
    scores, expected = engine.score(images), np.load("scores.npy")
    engine.close()
    np.testing.assert_allclose(scores, expected, atol=1e-3 * float(expected.max()))
    assert (scores.argmax(axis=1) == expected.argmax(axis=1)).all()
    assert expected.std(axis=0).max() > 1e-5, "the images get different scores"
