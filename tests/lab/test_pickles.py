"""Pickles are not loaded, under any name, and weights alone are no model: the sentence says what to do instead."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("keras", reason="no TensorFlow: pip install -r model/requirements.txt")

from model.training.errors import SourceError
from model.training.importing.import_model import ImportOptions, import_model
from tests.conftest import require

require("onnx")
require("onnxruntime")

from tests.lab.onnx_imports import order  # noqa: E402


class Spy:
    """Its pickle creates a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize(
    "name", ["resnet50.pth", "resnet50.pt", "model.pkl", "pytorch_model.bin", "model.onnx", "model.h5"]
)
@pytest.mark.parametrize("packed", [False, True])
def test_no_pickle_is_loaded(name: str, packed: bool, tmp_path: Path) -> None:
    data = pickle.dumps(Spy(tmp_path / "ran"))
    path = tmp_path / name
    if packed:  # as torch.save writes it
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("archive/data.pkl", data)
            file.writestr("archive/data/0", bytes(100))
    else:
        path.write_bytes(data)
    words = r"holds a pickle, which runs code when it is loaded, so it is not: export the network from PyTorch"
    with pytest.raises(SourceError, match=words):
        import_model(order(path), tmp_path / "out")
    with pytest.raises(SourceError, match=words):
        import_model(ImportOptions("MobileNet", alpha=0.25, weights=str(path)), tmp_path / "out")
    assert not (tmp_path / "ran").exists()


def test_an_old_pickle_is_known_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(Spy(tmp_path / "ran"), protocol=0))
    with pytest.raises(SourceError, match="holds a pickle, which runs code when it is loaded"):
        import_model(order(tmp_path / "model.pkl"), tmp_path / "out")
    with pytest.raises(SourceError, match=r"gone\.pth does not exist"):
        import_model(order(tmp_path / "gone.pth"), tmp_path / "out")
    assert not (tmp_path / "ran").exists()


def test_weights_without_a_network_are_refused(tmp_path: Path) -> None:
    (tmp_path / "resnet50.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    words = r"resnet50\.safetensors holds weights without the network that they are for: import its folder if .* export"
    with pytest.raises(SourceError, match=words):
        import_model(order(tmp_path / "resnet50.safetensors"), tmp_path / "out")
    with pytest.raises(SourceError, match=words):
        import_model(ImportOptions("ResNet50", weights=str(tmp_path / "resnet50.safetensors")), tmp_path / "out")
