"""Shared fixtures of the tests with TensorFlow: a tiny dataset, and a skip without TensorFlow."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import struct
from typing import Any

import numpy as np
import pytest

from model.training.data.idx import SHA256
from tests.conftest import absent
from tests.fakes import UNMEASURED


def idx(values: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    return bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Speeds of exported models that need no measuring."""
    from model.training.export import variants
    from model.training.importing import onnx_choice

    for module in (variants, onnx_choice):
        monkeypatch.setattr(module, "measure_speeds", lambda targets, **_: [UNMEASURED for _ in targets])


@pytest.fixture
def no_onnx2tf(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where onnx2tf is not installed."""
    from model.training.importing import onnx_to_lite

    monkeypatch.setattr(onnx_to_lite, "can_convert", lambda: False)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder like the dataset's, where a bright bar's height tells the class: 240 training and 60 test images."""
    folder = tmp_path_factory.mktemp("data")
    patch = pytest.MonkeyPatch()
    rng = np.random.default_rng(0)
    for prefix, count in (("train", 240), ("t10k", 60)):
        labels = (np.arange(count) % 10).astype(np.uint8)
        images = rng.integers(0, 30, (count, 28, 28)).astype(np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[2 * label + 4 : 2 * label + 7, 4:24] = 250
        for name, values in ((f"{prefix}-images-idx3-ubyte.gz", images), (f"{prefix}-labels-idx1-ubyte.gz", labels)):
            packed = gzip.compress(idx(values))
            (folder / name).write_bytes(packed)
            patch.setitem(SHA256, name, hashlib.sha256(packed).hexdigest())
    yield folder
    patch.undo()


@pytest.fixture(scope="module")
def tensorflow() -> None:
    if importlib.util.find_spec("tensorflow") is None:
        absent("no TensorFlow: pip install -r model/requirements.txt")
