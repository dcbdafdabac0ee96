"""The measured models: the shipped one, an earlier one as yardstick, and photo networks where their weights are."""

from __future__ import annotations

import importlib.util
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.artifact.load import ENGINES, read_artifact
from tests.bench.images import garments, photos
from tests.bench.parts import ROOT

_WEIGHTS = Path(os.environ.get("SHARED", ROOT.parent / "shared")) / "data" / "weights"
_IMPORTED = ROOT / "build" / "bench" / "artifacts"
_SOURCES = {
    "mobilenet-v2": [str(_WEIGHTS / "tf2_mobilenet_v2_1.0_224_ptq.tflite")],
    "mobilenet-v1": [
        "MobileNet",
        "--alpha",
        "0.75",
        "--weights",
        str(_WEIGHTS / "mobilenet_v1_0.75_224_keras_fp32.npz"),
    ],
    "efficientnet-lite0": [
        str(_WEIGHTS / "efficientnet-lite0.onnx"),
        "--recipe",
        str(ROOT / "model" / "training" / "recipes" / "efficientnet-lite0.json"),
        "--outputs",
        "logits",
    ],
}
"""Arguments of `python -m model import`. Only the second comes as a network, of which a SavedModel can be made too."""

_PHOTOS = 10
"""The number of small images is this many times the number of photos."""

_SHIPPED = Path("model/artifacts/fashion-mnist")

COMMIT = "e86dbb7d299d5eba634e183fad74812da71255a7"
"""The commit whose shipped artifact is the yardstick: a faster network would change the shares of the loop."""

YARDSTICK, SHIPPED = "fashion-mnist", "shipped"
NAMES = (YARDSTICK, SHIPPED, *_SOURCES)

USUAL = (YARDSTICK, SHIPPED, "mobilenet-v2", "mobilenet-v1")
"""The models that are measured where none is named."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A model, the engines that it can run on here, and a maker of suitable images: `small` ones or photos."""

    name: str
    artifact: Path
    engines: tuple[str, ...]
    small: bool

    @property
    def make_images(self) -> Callable[[int], list[bytes]]:
        return garments if self.small else photos

    def load(self, images: int) -> list[bytes]:
        """Images for a load: this many small images, or fewer photos."""
        return self.make_images(images if self.small else max(1, images // _PHOTOS))


def subjects(names: Sequence[str], engines: Sequence[str]) -> list[Subject]:
    """The named models that are available here, with the engines that run here."""
    found = []
    for name in names:
        artifact = ROOT / _SHIPPED if name == SHIPPED else _of_commit() if name == YARDSTICK else _imported(name)
        if artifact:
            have = read_artifact(artifact).engines
            kept = tuple(each for each in engines if each in have)
            found.append(Subject(name, artifact, kept, name in (YARDSTICK, SHIPPED)))
    return found


def installed_engines() -> list[str]:
    """The engines whose packages are here."""
    return [name for name, runtime in ENGINES.items() if importlib.util.find_spec(runtime.module)]


def _of_commit() -> Path:
    """The shipped artifact of COMMIT, taken from the history once."""
    folder = _IMPORTED / COMMIT
    if not folder.is_dir():
        command = ["git", "archive", COMMIT, str(_SHIPPED)]
        packed = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(folder, filter="data")
    return folder / _SHIPPED


def _imported(name: str) -> Path | None:
    """The artifact, imported once; None, said aloud, without TensorFlow or the weights."""
    artifact = _IMPORTED / name
    if artifact.is_dir():
        return artifact
    labels = ["--labels", str(_WEIGHTS / "imagenet_labels.txt")]
    command = [
        sys.executable,
        "-m",
        "model",
        "import",
        *_SOURCES[name],
        *labels,
        "--name",
        name,
        "--out",
        str(artifact),
    ]
    if not _WEIGHTS.is_dir() or "savedmodel" not in installed_engines():
        print(f"{name} is left out: it needs TensorFlow and the weights at {_WEIGHTS}", file=sys.stderr)
        return None
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return artifact
