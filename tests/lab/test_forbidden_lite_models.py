"""LiteRT models with operators or parts that are not LiteRT's own are refused, at import and by a worker."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

keras = pytest.importorskip("keras", reason="no TensorFlow: pip install -r model/requirements.txt")
import tensorflow as tf  # noqa: E402
from ai_edge_litert import schema_py_generated as lite  # noqa: E402
from tensorflow.lite.tools import flatbuffer_utils  # noqa: E402

from model.engines.base import Signature  # noqa: E402
from model.engines.litert import LiteRTEngine  # noqa: E402
from model.errors import ArtifactError  # noqa: E402
from model.training.errors import SourceError  # noqa: E402
from model.training.importing.litert_source import LiteSource  # noqa: E402
from tests.networks import as_saved_model, network  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

SIGNATURE = Signature(20, 16, 3, "float32", ("cat", "dog", "eel"), {})


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return as_saved_model(tmp_path_factory.mktemp("good"), network())


def lite_model(tmp_path: Path, good: Path, how: Callable[[Any], Any]) -> Path:
    tflite = tf.lite.TFLiteConverter.from_saved_model(str(good)).convert()
    content = flatbuffer_utils.convert_bytearray_to_object(bytearray(tflite))
    how(content)
    (tmp_path / "made.tflite").write_bytes(flatbuffer_utils.convert_object_to_bytearray(content))
    return tmp_path / "made.tflite"


def custom(name: str) -> Callable[[Any], Any]:
    def make(content: Any) -> None:
        code = content.operatorCodes[0]
        code.builtinCode = code.deprecatedBuiltinCode = lite.BuiltinOperator.CUSTOM
        code.customCode = name

    return make


def stablehlo(content: Any) -> None:
    content.operatorCodes[0].builtinCode = lite.BuiltinOperator.STABLEHLO_CUSTOM_CALL


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (custom("FlexReadFile"), "runs the operator 'FlexReadFile'"),
        (custom("Mfcc"), "runs the operator 'Mfcc'"),
        (stablehlo, "runs the operator 'StableHLO custom call'"),
    ],
)
def test_operators_that_are_not_litert_s_own_are_refused(
    good: Path, tmp_path: Path, how: Callable[[Any], Any], words: str
) -> None:
    path = lite_model(tmp_path, good, how)
    with pytest.raises(SourceError, match=re.escape(words)):
        LiteSource(path)
    with pytest.raises(ArtifactError, match=re.escape(words)):
        LiteRTEngine(path, SIGNATURE)


def test_a_lite_model_with_weights_elsewhere_is_refused(good: Path, tmp_path: Path) -> None:
    """This schema's own writer leaves the field out: its place in the table of fields is filled by hand."""
    path = lite_model(tmp_path, good, lambda content: setattr(content, "description", "x"))
    data = bytearray(path.read_bytes())
    model = int.from_bytes(data[:4], "little")
    vtable = model - int.from_bytes(data[model : model + 4], "little", signed=True)
    size = int.from_bytes(data[vtable : vtable + 2], "little")
    grown = bytes(data[vtable : vtable + size]) + (24 - size) * b"\0"
    at = len(data) + len(data) % 2
    data += (at - len(data)) * b"\0" + (24).to_bytes(2, "little") + grown[2:22] + (4).to_bytes(2, "little")
    data[model : model + 4] = (model - at).to_bytes(4, "little", signed=True)
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match="keeps weights in other files"):
        LiteRTEngine(path, SIGNATURE)


@pytest.mark.parametrize("cut", [0, 3, 7, 8, 20, 300])
def test_a_truncated_lite_model_is_refused(good: Path, tmp_path: Path, cut: int) -> None:
    path = lite_model(tmp_path, good, lambda content: None)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ArtifactError, match="is not a model that LiteRT can load"):
        LiteRTEngine(path, SIGNATURE)
