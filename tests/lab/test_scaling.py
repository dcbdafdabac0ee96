"""Pixels are scaled once: a model that scales them itself gets them raw, in every source format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="no TensorFlow: pip install -r model/requirements.txt")
from keras import layers  # noqa: E402

from model.training.errors import SourceError  # noqa: E402
from model.training.importing.import_model import ImportOptions, open_source, signature_for  # noqa: E402
from tests.networks import Save, as_h5, as_keras, as_lite, as_saved_model, network  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file"),
]

Make = Callable[[], Any]


def classifier(backbone: Any, *first: Any) -> Any:
    return keras.Sequential([keras.Input((32, 32, 3)), *first, backbone, layers.Dense(3, "softmax")])


def plain() -> Any:
    image = keras.Input((32, 32, 3))
    return keras.Model(image, layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(image)))


def efficientnet() -> Any:
    """As in Keras' guide to transfer learning: the backbone is frozen and nested."""
    backbone = keras.applications.EfficientNetB0(
        include_top=False, weights=None, input_shape=(32, 32, 3), pooling="avg"
    )
    backbone.trainable = False
    return classifier(backbone)


def mobilenet_v3() -> Any:
    return classifier(
        keras.applications.MobileNetV3Small(include_top=False, weights=None, input_shape=(32, 32, 3), pooling="avg")
    )


def augmented() -> Any:
    inner = keras.Sequential([keras.Input((32, 32, 3)), layers.RandomFlip(), layers.Rescaling(1 / 127.5, -1)])
    return classifier(plain(), keras.Sequential([keras.Input((32, 32, 3)), layers.RandomContrast(0.1), inner]))


def calculated() -> Any:
    """As in TensorFlow's tutorial: `preprocess_input` is part of a functional network."""
    image = keras.Input((32, 32, 3))
    scaled = keras.applications.mobilenet_v2.preprocess_input(layers.RandomFlip()(image))
    return keras.Model(image, layers.Dense(3, "softmax")(plain()(scaled)))


def normalised() -> Any:
    return classifier(plain(), layers.Normalization(mean=[120.0, 118.0, 104.0], variance=[3000.0, 3100.0, 3200.0]))


def resized() -> Any:
    return classifier(plain(), layers.Resizing(32, 32), layers.ZeroPadding2D(0), layers.Rescaling(1 / 255))


SCALING = [efficientnet, mobilenet_v3, augmented, calculated, normalised, resized]

# Other formats: HDF5 holds no operations, augmentation is not exported, and the converter to LiteRT multiplies the
# weights of a first convolution by a scaling that precedes it.
FORMATS = [
    *((make, as_keras) for make in SCALING),
    *((make, as_h5) for make in (efficientnet, augmented, normalised, resized)),
    *((make, as_saved_model) for make in (efficientnet, mobilenet_v3, normalised, resized)),
    *((make, as_lite) for make in (mobilenet_v3, normalised)),
]


def order(source: Path, **more: Any) -> ImportOptions:
    (source.parent / "labels.txt").write_text("cat\ndog\neel\n")
    return ImportOptions(str(source), labels=source.parent / "labels.txt", **more)


def scale_of(options: ImportOptions) -> Any:
    """The factor and the offset of the recipe's last step."""
    step = signature_for(open_source(options), options).preprocessing["steps"][-1]
    return step["factor"], step["offset"]


@pytest.mark.parametrize(("make", "save"), FORMATS)
def test_a_model_that_scales_its_pixels_gets_them_raw(make: Make, save: Save, tmp_path: Path) -> None:
    source = save(tmp_path, make())
    assert scale_of(order(source)) == (1.0, 0.0)
    assert scale_of(order(source, pixels="raw")) == (1.0, 0.0)
    for pixels in ("unit", "tf", "torch", "caffe"):
        with pytest.raises(SourceError, match=rf"the pixels are '{pixels}'; .* scales them itself, by 0\.\d+, so they"):
            scale_of(order(source, pixels=pixels))


@pytest.mark.parametrize("save", [as_keras, as_saved_model, as_lite])
def test_a_model_without_scaling_must_be_described(save: Save, tmp_path: Path) -> None:
    source = save(tmp_path, classifier(plain()))
    with pytest.raises(SourceError, match="does not say how its pixels were scaled"):
        scale_of(order(source))
    assert scale_of(order(source, pixels="unit")) == (1 / 255, 0.0)


@pytest.mark.parametrize("save", [as_keras, as_saved_model])
def test_a_model_that_scales_from_0_to_1_is_not_given_255(save: Save, tmp_path: Path) -> None:
    source = save(tmp_path, classifier(plain(), layers.Rescaling(2.0, -1)))
    with pytest.raises(SourceError, match="does not say how its pixels were scaled"):
        scale_of(order(source))
    with pytest.raises(SourceError, match=r"the pixels are 'raw'; .* multiplies them by 2, which gives a range of 510"):
        scale_of(order(source, pixels="raw"))
    assert scale_of(order(source, pixels="unit")) == (1 / 255, 0.0)


def caffe() -> Any:
    """Subtracts a mean only, which pixels 0..255 alone have."""
    image = keras.Input((32, 32, 3))
    return keras.Model(image, layers.Dense(3, "softmax")(plain()(keras.applications.resnet.preprocess_input(image))))


@pytest.mark.parametrize("save", [as_keras, as_saved_model, as_lite])
def test_a_model_that_subtracts_a_mean_gets_its_pixels_raw(
    save: Save, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = save(tmp_path, caffe())
    assert scale_of(order(source)) == (1.0, 0.0)
    for pixels in ("unit", "tf", "caffe"):
        with pytest.raises(SourceError, match=f"'{pixels}'; .* scales them itself, by subtracting a mean, so they"):
            scale_of(order(source, pixels=pixels))
    recipe = tmp_path / "recipe.json"
    size = '{"op": "resize", "width": 32, "height": 32}, {"op": "scale", "factor": 0.00392, "offset": 0.0}'
    recipe.write_text(f'{{"steps": [{{"op": "rgb"}}, {size}]}}')
    scale_of(order(source, recipe=recipe))
    assert "does so itself, by subtracting a mean" in capsys.readouterr().err


def test_branches_that_scale_the_same_pixels_scale_them_once(tmp_path: Path) -> None:
    image = keras.Input((32, 32, 3))
    scaled = layers.Rescaling(1 / 255)(image), layers.Rescaling(1 / 127.5, -1)(image)
    inner = layers.Concatenate()([layers.Conv2D(4, 3)(each) for each in scaled])
    made = keras.Model(image, layers.Dense(3, "softmax")(layers.GlobalAveragePooling2D()(inner)))
    assert scale_of(order(as_keras(tmp_path, made))) == (1.0, 0.0)


def test_grey_pixels_that_are_repeated_as_colours_are_scaled_once(tmp_path: Path) -> None:
    image = keras.Input((32, 32, 1))
    scaled = layers.Rescaling(1 / 255)(layers.Concatenate()([image, image, image]))
    made = keras.Model(image, layers.Dense(3, "softmax")(plain()(scaled)))
    assert scale_of(order(as_saved_model(tmp_path, made))) == (1.0, 0.0)


def test_scaling_that_cannot_be_calculated_is_asked_for(tmp_path: Path) -> None:
    """The array has the size of the resized images, and not that of the pixels that are tried."""
    image = keras.Input((40, 40, 3))
    scaled = layers.Resizing(32, 32)(image) * np.full((32, 32, 3), 1 / 255, np.float32)
    source = as_keras(tmp_path, keras.Model(image, layers.Dense(3, "softmax")(plain()(scaled))))
    with pytest.raises(SourceError, match="does not say how its pixels were scaled"):
        scale_of(order(source))


def test_scaling_behind_the_first_layer_that_learns_is_not_the_pixels_scaling(tmp_path: Path) -> None:
    image = keras.Input((32, 32, 3))
    inner = layers.Rescaling(1 / 255)(layers.Conv2D(4, 3)(image))
    made = keras.Model(image, layers.Dense(3, "softmax")(layers.GlobalAveragePooling2D()(inner)))
    with pytest.raises(SourceError, match="does not say how its pixels were scaled"):
        scale_of(order(as_keras(tmp_path, made)))


def test_a_recipe_that_scales_twice_is_used_with_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = as_keras(tmp_path, network(layers.Rescaling(1 / 255), shape=(32, 32, 3)))
    recipe = tmp_path / "recipe.json"
    size = '{"op": "resize", "width": 32, "height": 32}, {"op": "scale", "factor": %s, "offset": 0.0}'
    recipe.write_text(f'{{"steps": [{{"op": "rgb"}}, {size % 1.0}]}}')
    assert scale_of(order(source, recipe=recipe)) == (1.0, 0.0)
    assert "warning" not in capsys.readouterr().err
    recipe.write_text(f'{{"steps": [{{"op": "rgb"}}, {size % 0.00392}]}}')
    assert scale_of(order(source, recipe=recipe)) == (0.00392, 0.0)
    said = capsys.readouterr().err
    assert "warning: the recipe scales the pixels, and" in said and "does so itself, by 0.00392" in said
    assert np.isclose(open_source(order(source)).ends.gain or 0, 1 / 255)


@pytest.mark.parametrize(("pixels", "warned"), [("unit", True), ("raw", False)])
def test_scaling_inside_the_weights_of_a_lite_model_is_warned_of(
    pixels: str, warned: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = network(layers.Rescaling(1 / 255), shape=(32, 32, 3))
    source = as_lite(tmp_path, made)
    assert open_source(order(source)).ends.gain is None
    scale_of(order(source, pixels=pixels))
    assert ("gives almost the same scores to every image; with --pixels raw" in capsys.readouterr().err) == warned
