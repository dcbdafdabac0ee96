"""Ordinary image classifiers of Keras and TensorFlow pass the allow-list of operations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

keras = pytest.importorskip("keras", reason="no TensorFlow: pip install -r model/requirements.txt")
import tensorflow as tf  # noqa: E402
from keras import layers, ops  # noqa: E402

from model.engines.savedmodel_check import check_saved_model  # noqa: E402
from tests.networks import as_saved_model, traced  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")


def rows(x: Any) -> Any:
    return layers.Reshape((x.shape[1], -1))(x)


def convolutions(x: Any) -> list[Any]:
    return [
        layers.SeparableConv2D(4, 3)(x),
        layers.DepthwiseConv2D(3)(x),
        layers.Conv2DTranspose(4, 3, strides=2)(x),
        layers.Conv2D(6, 3, groups=3, activation="silu")(x),
        layers.Conv2D(4, 3, dilation_rate=2, activation="gelu")(x),
        layers.Conv1D(4, 3)(rows(x)),
        layers.Conv3D(2, 3)(layers.Reshape((16, 12, 3, 1))(x)),
        layers.Dense(4, "tanh")(layers.Flatten()(x)),
        layers.EinsumDense("bhwc,cd->bhwd", output_shape=(None, None, 5))(x),
    ]


def normalisations(x: Any) -> list[Any]:
    kinds = (
        layers.BatchNormalization(),
        layers.LayerNormalization(),
        layers.GroupNormalization(3),
        layers.UnitNormalization(),
        layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[1.0, 1.0, 1.0]),
        layers.Rescaling(1 / 255),
        layers.Dropout(0.1),
        layers.GaussianNoise(0.1),
    )
    return [kind(x) for kind in kinds]


def activations(x: Any) -> list[Any]:
    names = "celu elu exponential gelu hard_shrink hard_sigmoid leaky_relu linear log_sigmoid log_softmax mish relu"
    names += " relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus squareplus tanh tanh_shrink"
    wide = layers.Conv2D(4, 3)(x)
    return [layers.PReLU()(wide), *(layers.Activation(name)(wide) for name in names.split())]


def pooling(x: Any) -> list[Any]:
    kinds = layers.MaxPooling2D(), layers.AveragePooling2D(2), layers.GlobalMaxPooling2D(), layers.Cropping2D(2)
    bordered = layers.ZeroPadding2D(2), layers.UpSampling2D(2, interpolation="bilinear"), layers.UpSampling2D(2)
    return [kind(x) for kind in (*kinds, *bordered)]


def preprocessing(x: Any) -> list[Any]:
    kinds = (
        layers.Resizing(8, 8),
        layers.Resizing(8, 8, crop_to_aspect_ratio=True),
        layers.Resizing(8, 9, pad_to_aspect_ratio=True),
        layers.CenterCrop(8, 8),
        layers.CenterCrop(32, 32),
        layers.RandomFlip(),
        layers.RandomRotation(0.1),
        layers.RandomZoom(0.1),
        layers.RandomTranslation(0.1, 0.1),
        layers.RandomCrop(8, 8),
        layers.RandomContrast(0.1),
        layers.RandomBrightness(0.1),
        layers.Discretization([0.0, 1.0]),
    )
    return [kind(x) for kind in kinds]


def sequences(x: Any) -> list[Any]:
    row = rows(x)
    return [
        layers.LSTM(4)(row),
        layers.GRU(4)(layers.Masking()(row)),
        layers.Bidirectional(layers.SimpleRNN(4))(row),
        layers.ConvLSTM2D(2, 3)(layers.Reshape((4, 4, 12, 3))(x)),
        layers.MultiHeadAttention(2, 8)(row, row, use_causal_mask=True),
        layers.GroupQueryAttention(8, 2, 1)(row, row),
        layers.Attention()([row, row]),
        layers.AdditiveAttention()([row, row]),
        layers.TimeDistributed(layers.Dense(3))(row),
        layers.Embedding(300, 4)(layers.Flatten()(x)),
    ]


def arithmetic(x: Any) -> list[Any]:
    return [
        ops.image.rgb_to_grayscale(x),
        ops.image.resize(x, (9, 9), interpolation="bicubic", antialias=True),
        ops.image.extract_patches(x, 4),
        ops.where(x > 0, ops.exp(x), ops.log1p(ops.abs(x))),
        ops.einsum("bhwc,bhwd->bcd", x, x),
        ops.cumsum(ops.sort(x), axis=1),
        ops.top_k(layers.Flatten()(x), 5)[0],
        ops.norm(x, axis=-1, keepdims=True),
        ops.roll(ops.tile(x, (1, 2, 2, 1)), 2, axis=1),
        ops.logsumexp(x, axis=-1),
    ]


KINDS = [convolutions, normalisations, activations, pooling, preprocessing, sequences, arithmetic]


@pytest.mark.parametrize(
    ("parts", "precision"),
    [*((parts, "float32") for parts in KINDS), (convolutions, "mixed_float16"), (sequences, "mixed_bfloat16")],
)
def test_layers_of_every_kind_pass(parts: Callable[[Any], list[Any]], precision: str, tmp_path: Path) -> None:
    keras.config.set_dtype_policy(precision)
    try:
        image = keras.Input((16, 12, 3))
        ends = [layers.Activation("linear", dtype="float32")(part) for part in parts(image)]
        flat = [(layers.GlobalAveragePooling2D() if len(end.shape) == 4 else layers.Flatten())(end) for end in ends]
        made = keras.Model(image, layers.Dense(3, "softmax", dtype="float32")(layers.Concatenate()(flat)))
    finally:
        keras.config.set_dtype_policy("float32")
    check_saved_model(as_saved_model(tmp_path, made))


def test_an_architecture_of_the_catalog_passes(tmp_path: Path) -> None:
    made = keras.applications.EfficientNetB0(weights=None, input_shape=(32, 32, 3), classes=3)
    check_saved_model(as_saved_model(tmp_path, made))


class Controlled(tf.Module):  # type: ignore[misc]
    """Branches, loops, lists, checks and quantisation, as tf.function writes them."""

    def __init__(self) -> None:
        self.weights = tf.Variable(tf.zeros((3, 3)))

    @traced(None, 16, 12, 3)
    def score(self, images: Any) -> Any:
        tf.debugging.assert_all_finite(images, "not finite")
        tf.debugging.assert_greater(tf.shape(images)[0], 0)
        for _ in tf.range(3):
            images = images * 2.0
        means = tf.map_fn(lambda image: tf.reduce_mean(image, axis=(0, 1)), images)
        means = tf.cond(tf.reduce_sum(means) > 0, lambda: means, lambda: -means)
        kept = tf.TensorArray(tf.float32, 2).write(0, means).write(1, means).stack()[0]
        kept = tf.quantization.fake_quant_with_min_max_vars(kept, -1.0, 1.0)
        return {"scores": tf.nn.softmax(kept @ self.weights)}


def test_control_flow_passes(tmp_path: Path) -> None:
    module = Controlled()
    tf.saved_model.save(module, str(tmp_path / "made"), signatures=module.score)
    check_saved_model(tmp_path / "made")


def test_a_compiled_model_that_was_trained_and_saved_by_tensorflow_passes(tmp_path: Path) -> None:
    made = keras.Sequential([keras.Input((8, 8, 3)), layers.BatchNormalization(), layers.Flatten(), layers.Dense(3)])
    made.compile("adam", "mse", jit_compile=False)
    made.fit(tf.zeros((4, 8, 8, 3)), tf.zeros((4, 3)), verbose=0)
    tf.saved_model.save(made, str(tmp_path / "made"))
    check_saved_model(tmp_path / "made")
