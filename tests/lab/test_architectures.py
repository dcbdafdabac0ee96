"""Networks of transformers whose weights are .safetensors score as transformers does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("keras", reason="no TensorFlow: pip install -r model/requirements.txt")

import ml_dtypes
from safetensors.numpy import save_file

from model.artifact.load import load_engine
from model.training.errors import SourceError
from model.training.importing.architectures.build import ARCHITECTURES, architecture_of, build
from model.training.importing.fields import Fields
from model.training.importing.import_model import ImportOptions, import_model
from tests.lab.architecture_folders import KNOWN, LABELS, arrays_of, expected, logits, repository, sharded
from tests.lab.architectures import images


@pytest.mark.parametrize("title", KNOWN)
def test_logits_are_those_of_transformers(title: str, tmp_path: Path) -> None:
    np.testing.assert_allclose(logits(repository(tmp_path / "a", title), title), expected(title), atol=5e-5)
    assert np.ptp(expected(title), axis=0).max() > 0.1, "the images get different logits"


@pytest.mark.optional
@pytest.mark.timeout(600)
@pytest.mark.skipif(not find_spec("transformers"), reason="not installed: transformers")
def test_transformers_still_computes_the_known_logits(root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.lab.architectures", str(tmp_path / "new.json")]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=root, timeout=560, env={**os.environ, "HF_HUB_OFFLINE": "1"}
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "new.json").read_text(encoding="utf-8"))
    assert found.keys() == KNOWN.keys()
    for title, known in KNOWN.items():
        assert found[title]["shapes"] == known["shapes"]
        np.testing.assert_allclose(found[title]["logits"], known["logits"], atol=5e-5)


@pytest.mark.parametrize(("kind", "off"), [("float64", 5e-5), ("float16", 0.01), ("bfloat16", 0.1)])
def test_weights_of_other_precision_are_read(kind: str, off: float, tmp_path: Path) -> None:
    dtype = ml_dtypes.bfloat16 if kind == "bfloat16" else np.dtype(kind)
    arrays = {name: values.astype(dtype) for name, values in arrays_of("ViT").items()}
    np.testing.assert_allclose(logits(repository(tmp_path / "a", arrays=arrays)), expected(), atol=off)


def test_weights_in_several_files_are_read(tmp_path: Path) -> None:
    np.testing.assert_allclose(logits(sharded(tmp_path / "a")), expected(), atol=5e-5)


def test_the_single_file_counts_where_there_are_both(tmp_path: Path) -> None:
    folder = sharded(tmp_path / "a")
    other = {name: values * 2 for name, values in arrays_of("ViT").items()}
    for part in folder.glob("model-*.safetensors"):
        part.unlink()
    save_file(other, folder / "model-00001-of-00002.safetensors")
    save_file(arrays_of("ViT"), folder / "model.safetensors")
    np.testing.assert_allclose(logits(folder), expected(), atol=5e-5)


class Read(Fields):
    """Fields that remember which were asked for."""

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__(values, "config.json")
        self.names: set[str] = set()

    def _value(self, name: str, default: Any, allowed: str) -> Any:
        self.names.add(name)
        return super()._value(name, default, allowed)


@pytest.mark.parametrize("title", KNOWN)
def test_the_fields_of_an_architecture_are_those_that_are_read(title: str, tmp_path: Path) -> None:
    folder = repository(tmp_path / "a", title)
    config = Read(KNOWN[title]["config"])
    architecture = architecture_of(config)
    assert architecture
    build(folder, config, architecture, tuple(KNOWN[title]["size"]))
    assert config.names | ({"image_size"} if architecture.is_fixed else set()) == architecture.fields


def test_every_architecture_is_compared() -> None:
    assert {name for known in KNOWN.values() for name in known["config"]["architectures"]} == set(ARCHITECTURES)


def test_what_a_classifier_does_not_use_may_be_there(tmp_path: Path) -> None:
    more = {"vit.pooler.dense.weight": np.ones((32, 32), np.float32), "vit.pooler.dense.bias": np.ones(32, np.float32)}
    np.testing.assert_allclose(
        logits(repository(tmp_path / "a", arrays=arrays_of("ViT") | more)), expected(), atol=5e-5
    )


@pytest.mark.parametrize("title", ["ViT", "BEiT", "Swin", "ConvNextV2", "MobileNetV2", "EfficientNet"])
@pytest.mark.usefixtures("unmeasured")
def test_a_folder_is_served_with_the_scores_of_transformers(title: str, tmp_path: Path) -> None:
    folder = repository(tmp_path / "pets", title)
    artifact = import_model(ImportOptions(str(folder)), tmp_path / "out")
    assert artifact.signature.labels == tuple(LABELS.values()) and artifact.signature.outputs == "logits"
    powers = np.exp(expected(title))
    for name in ("litert", "savedmodel"):
        _, engine = load_engine(artifact, name)
        scores = engine.score(images(tuple(KNOWN[title]["size"])))
        engine.close()
        np.testing.assert_allclose(scores, powers / powers.sum(1, keepdims=True), atol=1e-4)


@pytest.mark.usefixtures("unmeasured")
def test_a_network_for_any_size_gets_that_of_the_preprocessing_or_asks(tmp_path: Path) -> None:
    folder = repository(tmp_path / "a", "ResNet, early")
    artifact = import_model(ImportOptions(str(folder), engines=("savedmodel",)), tmp_path / "out")
    assert (artifact.signature.height, artifact.signature.width) == (65, 49)
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(SourceError, match="takes images of any size; choose one with --size"):
        import_model(ImportOptions(str(folder), pixels="torch"), tmp_path / "none")
    other = import_model(ImportOptions(str(folder), pixels="torch", size=40, engines=("savedmodel",)), tmp_path / "b")
    assert (other.signature.height, other.signature.width) == (40, 40)


@pytest.mark.usefixtures("unmeasured")
def test_weights_are_imported_without_the_package_onnx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("onnx_choice", "onnx_shape", "onnx_source"):  # they import it
        monkeypatch.setitem(sys.modules, f"model.training.importing.{name}", None)
    folder = repository(tmp_path / "a")
    artifact = import_model(ImportOptions(str(folder), engines=("savedmodel",)), tmp_path / "out")
    assert artifact.signature.labels == tuple(LABELS.values())
