"""What the metadata of a .tflite file say is read: the normalisation of its pixels, and its labels."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="no TensorFlow: pip install -r model/requirements.txt")
import tensorflow as tf  # noqa: E402
from keras import layers  # noqa: E402

from model.artifact.load import load_engine  # noqa: E402
from model.training.errors import SourceError  # noqa: E402
from model.training.export import variants  # noqa: E402
from model.training.importing.import_model import (  # noqa: E402
    ImportOptions,
    import_model,
    open_source,
    signature_for,
)
from model.training.importing.litert_metadata import read_metadata  # noqa: E402
from tests.conftest import absent  # noqa: E402
from tests.fakes import UNMEASURED  # noqa: E402
from tests.lite_metadata import add_metadata  # noqa: E402
from tests.networks import as_lite, as_saved_model, network  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

LABELS = {"labels.txt": ("cat\ndog\neel\n", "")}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A .tflite file without metadata, and its network."""
    made = network(shape=(12, 10, 3))
    return as_lite(tmp_path_factory.mktemp("plain"), made), made


@pytest.fixture
def source(plain: tuple[Path, Any], tmp_path: Path) -> Path:
    """A copy of the file."""
    path = tmp_path / "made.tflite"
    path.write_bytes(plain[0].read_bytes())
    return path


def images(count: int = 6) -> Any:
    """Pixels 0..255 of noise, one image brighter than the other."""
    found = np.random.default_rng(0).uniform(0, 255, (count, 12, 10, 3)).astype(np.float32)
    return np.rint(found * np.linspace(0.1, 1, count, dtype=np.float32)[:, None, None, None])


def scale_of(source: Path, **more: Any) -> tuple[Any, Any]:
    order = ImportOptions(str(source), **more)
    *_, step = signature_for(open_source(order), order).preprocessing["steps"]
    return step["factor"], step["offset"]


def test_a_file_with_metadata_needs_no_answer(
    source: Path, plain: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variants, "measure_speeds", lambda targets, *_: [UNMEASURED for _ in targets])
    artifact = import_model(ImportOptions(str(add_metadata(source, [127.5], [127.5], LABELS))), tmp_path / "out")
    assert artifact.signature.labels == ("cat", "dog", "eel")
    *_, step = artifact.signature.preprocessing["steps"]
    given = images() * np.float32(step["factor"]) + np.float32(step["offset"])
    _, engine = load_engine(artifact)
    np.testing.assert_allclose(engine.score(given), plain[1].predict(images() / 127.5 - 1, verbose=0), atol=1e-5)
    engine.close()
    assert "Pixels: from -1 to 1, as its file says." in (artifact.folder / "MODEL_CARD.md").read_text()
    assert (artifact.folder / "model.tflite").read_bytes() == source.read_bytes(), "the file is served unchanged"


def test_channels_may_have_their_own_normalisation(source: Path) -> None:
    factor, offset = scale_of(add_metadata(source, [120, 110, 100], [50, 60, 70], LABELS))
    np.testing.assert_allclose([factor, offset], [[1 / 50, 1 / 60, 1 / 70], [-2.4, -110 / 60, -100 / 70]], rtol=1e-6)


@pytest.mark.parametrize(("mean", "std", "pixels"), [(127.5, 127.5, "tf"), (0, 255, "unit"), (0, 1, "raw")])
def test_an_answer_must_agree_with_the_file(mean: float, std: float, pixels: str, source: Path) -> None:
    add_metadata(source, [mean], [std], LABELS)
    for answer in ("raw", "unit", "tf", "torch", "caffe"):
        if answer == pixels:
            scale_of(source, pixels=answer)
        else:
            with pytest.raises(SourceError, match=f"the pixels are '{answer}'; .* is made for values from .*: leave"):
                scale_of(source, pixels=answer)


def test_what_the_metadata_lack_is_asked_for(source: Path) -> None:
    add_metadata(source, files=LABELS)
    with pytest.raises(SourceError, match="does not say how its pixels were scaled in training"):
        scale_of(source)
    assert scale_of(source, pixels="tf") == (1 / 127.5, -1.0)


def test_the_user_s_labels_come_before_those_of_the_file(source: Path, tmp_path: Path) -> None:
    add_metadata(source, [0], [255], {"labels.txt": ("a\nb\n", "")})
    order = ImportOptions(str(source))
    with pytest.raises(SourceError, match="the model's file names 2 labels; the model gives 3 scores, one for each"):
        signature_for(open_source(order), order)
    (tmp_path / "own.txt").write_text("x\ny\nz\n")
    order = ImportOptions(str(source), labels=tmp_path / "own.txt")
    assert signature_for(open_source(order), order).labels == ("x", "y", "z")


def test_the_labels_without_a_language_are_read(source: Path) -> None:
    files = {"de.txt": ("Katze\nHund\nAal\n", "de"), **LABELS}
    assert open_source(ImportOptions(str(add_metadata(source, [0], [255], files)))).labels == ("cat", "dog", "eel")


def scaling(path: Path) -> Path:
    own = layers.Rescaling(1 / 127.5, offset=-1), layers.ZeroPadding2D()  # padding keeps the scaling out of the weights
    return as_lite(path, network(*own, shape=(12, 10, 3)))


def test_a_model_that_scales_its_pixels_itself_must_not_get_them_scaled(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    raw = add_metadata(scaling(tmp_path / "raw"), [0], [1], LABELS)
    assert scale_of(raw) == (1.0, 0.0)
    twice = add_metadata(scaling(tmp_path), [127.5], [127.5], LABELS)
    with pytest.raises(SourceError, match=r"asks for pixels from -1 to 1 and scales them itself, .* write a --recipe"):
        scale_of(twice)


def without_labels(path: Path) -> Path:
    """Cut off the zip that holds the labels."""
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"PK\x03\x04")])
    return path


DAMAGED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "no file of labels": (lambda path: without_labels(add_metadata(path, [0], [1], LABELS)), "'labels.txt', which the"),
    "std of 0": (
        lambda path: add_metadata(path, [0], [0], LABELS),
        r"std is \[0.0\]; they must be one number or three",
    ),
    "two means": (lambda path: add_metadata(path, [0, 1], [1, 1], LABELS), "they must be one number or three"),
    "not a number": (
        lambda path: add_metadata(path, [float("nan")], [1], LABELS),
        "mean is .nan. and std is .1.0.; they must",
    ),
    "a label twice": (
        lambda path: add_metadata(path, [0], [1], {"labels.txt": ("a\nb\na\n", "")}),
        r"made\.tflite/labels\.txt cannot be used: line 1 and line 3 are both 'a'",
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_metadata_that_cannot_be_used_are_refused(name: str, source: Path) -> None:
    make, words = DAMAGED[name]
    with pytest.raises(SourceError, match=words):
        open_source(ImportOptions(str(make(source))))


def test_damaged_metadata_raise_nothing_else(source: Path) -> None:
    add_metadata(source, [127.5], [127.5], LABELS)
    data = source.read_bytes()
    begin = data.index(b"M001") - 4
    rng = random.Random(5)
    refused = 0
    for _ in range(300):
        changed = bytearray(data)
        for _ in range(3):
            changed[begin + rng.randrange(180)] = rng.randrange(256)
        source.write_bytes(changed)
        try:
            read_metadata(source)
        except SourceError:
            refused += 1
    assert refused > 30


def test_real_files_hold_imagenets_labels(shared_data: Path) -> None:
    weights = shared_data / "weights"
    if not weights.is_dir():
        absent(f"no weights at {weights}")
    for name in ("mobilenet_v2_1.0_224_quant.tflite", "tf2_mobilenet_v2_1.0_224_ptq.tflite"):
        labels = read_metadata(weights / name).labels
        assert labels and len(labels) in (1000, 1001) and any(label.startswith("Samoyed") for label in labels)


def test_pixels_in_bytes_and_scores_in_float(tmp_path: Path) -> None:
    """The input is quantised for 0..255, the output is not."""
    made = network(layers.Rescaling(1 / 255), shape=(12, 10, 3))
    converter = tf.lite.TFLiteConverter.from_saved_model(str(as_saved_model(tmp_path, made)))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[None]] for image in images(30))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
    (tmp_path / "made.tflite").write_bytes(converter.convert())
    (tmp_path / "labels.txt").write_text("cat\ndog\neel\n")
    order = ImportOptions(str(tmp_path / "made.tflite"), labels=tmp_path / "labels.txt")
    source = open_source(order)
    signature = signature_for(source, order)
    *_, step = signature.preprocessing["steps"]
    given = images() * np.float32(step["factor"]) + np.float32(step["offset"])
    np.testing.assert_allclose(source.score(given, signature), made.predict(images(), verbose=0), atol=0.02)
