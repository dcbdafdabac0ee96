"""The meaning of a model's outputs comes from its file or from the user, for every source format, and is never guessed.

The expected scores are those of the original network, with the softmax or sigmoid that its training implies.
"""

from __future__ import annotations

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
from model.training.importing.import_model import (  # noqa: E402
    ImportOptions,
    import_model,
    open_source,
    signature_for,
)
from model.training.importing.keras_ends import loss_meaning  # noqa: E402
from tests.networks import Save, as_h5, as_keras, as_lite, as_saved_model, network  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file"),
    pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated"),
    pytest.mark.usefixtures("unmeasured"),
]


def as_whole_numbers(path: Path, made: Any) -> Path:
    """Quantised, int8 in and out, for pixels 0..1."""
    converter = tf.lite.TFLiteConverter.from_saved_model(str(as_saved_model(path, made)))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[None]] for image in images_of(50))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    (path / "made.tflite").write_bytes(converter.convert())
    return path / "made.tflite"


def images_of(count: int) -> Any:
    """Images whose scores differ much: dark and bright ones."""
    rng = np.random.default_rng(5)
    return (rng.random((count, 20, 16, 3)) * rng.random((count, 1, 1, 3))).astype(np.float32)


def spread(outputs: int, activation: str | None, *top: Any) -> Any:
    """A network whose outputs differ from each other and from image to image."""
    made = network(*top, outputs=outputs, activation=activation)
    kernel, bias = made.layers[-1].get_weights()
    made.layers[-1].set_weights([kernel * 8, bias + np.linspace(-1, 1, outputs)])
    return made


def order(source: Path, count: int, **more: Any) -> ImportOptions:
    labels = source.parent / "labels.txt"
    labels.write_text("".join(f"label {n}\n" for n in range(max(2, count))))
    return ImportOptions(str(source), labels=labels, **{"pixels": "unit", **more})


def softmax(x: Any) -> Any:
    return np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def two(p: Any) -> Any:
    return np.concatenate([1 - p, p], axis=1)


def same(x: Any) -> Any:
    return x


FORMATS = [as_keras, as_h5, as_saved_model, as_lite]
MEANINGS = [
    ("softmax", 3, "softmax", None, same),
    ("multi-label", 3, "sigmoid", None, same),
    ("binary", 1, "sigmoid", None, two),
    ("logits", 3, None, "logits", softmax),
    ("multi-label logits", 3, None, "multilabel-logits", sigmoid),
    ("a binary logit", 1, None, "logits", lambda x: two(sigmoid(x))),
    ("logarithms", 3, "log_softmax", None, np.exp),
]


@pytest.mark.parametrize("save", FORMATS)
@pytest.mark.parametrize(
    ("outputs", "activation", "asked", "expected"), [row[1:] for row in MEANINGS], ids=[r[0] for r in MEANINGS]
)
def test_every_format_gives_the_scores_that_the_model_means(
    save: Save, outputs: int, activation: str | None, asked: str | None, expected: Callable[[Any], Any], tmp_path: Path
) -> None:
    made = spread(outputs, activation)
    artifact = import_model(order(save(tmp_path, made), outputs, outputs=asked), tmp_path / "out")
    images = images_of(20)
    wanted = expected(made.predict(images, verbose=0))
    assert wanted.std(axis=0).max() > 0.01, "the images get different scores"
    for name in artifact.engines:
        _, engine = load_engine(artifact, name)
        np.testing.assert_allclose(engine.score(images), wanted, atol=1e-5)
        engine.close()


@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs were expected")
def test_a_quantised_model_is_read_like_any_other(tmp_path: Path) -> None:
    made = spread(1, "sigmoid")
    artifact = import_model(order(as_whole_numbers(tmp_path, made), 1, pixels=None), tmp_path / "out")
    images = images_of(20)
    _, engine = load_engine(artifact)
    np.testing.assert_allclose(engine.score(images), two(made.predict(images, verbose=0)), atol=0.1)
    engine.close()


@pytest.mark.parametrize("save", FORMATS)
@pytest.mark.parametrize(("outputs", "activation"), [(3, None), (1, None), (3, "tanh"), (1, "tanh"), (3, "relu")])
def test_a_file_that_does_not_say_its_meaning_is_not_guessed(
    save: Save, outputs: int, activation: str | None, tmp_path: Path
) -> None:
    options = order(save(tmp_path, spread(outputs, activation)), outputs)
    with pytest.raises(SourceError, match=r"does not say what its outputs mean .*name it with --outputs \(probabil"):
        import_model(options, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("loss", "outputs", "expected"),
    [
        (keras.losses.BinaryCrossentropy(from_logits=True), 3, sigmoid),
        (keras.losses.BinaryFocalCrossentropy(from_logits=True), 3, sigmoid),
        (keras.losses.CategoricalCrossentropy(from_logits=True), 3, softmax),
        (keras.losses.SparseCategoricalCrossentropy(from_logits=True), 3, softmax),
        (keras.losses.BinaryCrossentropy(from_logits=True), 1, lambda x: two(sigmoid(x))),
    ],
)
@pytest.mark.parametrize("save", [as_keras, as_h5])
def test_the_loss_of_the_training_says_what_logits_mean(
    loss: Any, outputs: int, expected: Callable[[Any], Any], save: Save, tmp_path: Path
) -> None:
    made = spread(outputs, None)
    made.compile("adam", loss)
    artifact = import_model(order(save(tmp_path, made), outputs, engines=("litert",)), tmp_path / "out")
    images = images_of(20)
    _, engine = load_engine(artifact)
    np.testing.assert_allclose(engine.score(images), expected(made.predict(images, verbose=0)), atol=1e-5)
    engine.close()


def test_the_multi_label_model_of_a_user_gets_a_sigmoid(tmp_path: Path, shared_data: Path) -> None:
    case = shared_data.parent / "cases" / "models" / "multilabel-logits.keras"
    made = keras.saving.load_model(case, compile=False)
    (tmp_path / "labels.txt").write_text("a\nb\nc\nd\n")
    options = ImportOptions(str(case), labels=tmp_path / "labels.txt", pixels="unit", engines=("litert",))
    artifact = import_model(options, tmp_path / "out")
    images = np.random.default_rng(0).random((9, 32, 32, 3), np.float32)
    _, engine = load_engine(artifact)
    np.testing.assert_allclose(engine.score(images), sigmoid(made.predict(images, verbose=0)), atol=1e-5)
    engine.close()


def test_the_binary_lite_model_of_a_user_gets_two_labels(tmp_path: Path, shared_data: Path) -> None:
    case = shared_data.parent / "cases" / "models" / "binary.tflite"
    (tmp_path / "labels.txt").write_text("no\nyes\n")
    options = ImportOptions(str(case), labels=tmp_path / "labels.txt", pixels="unit")
    artifact = import_model(options, tmp_path / "out")
    assert (artifact.folder / "model.tflite").read_bytes() == case.read_bytes(), "the file is served unchanged"
    runner = tf.lite.Interpreter(str(case)).get_signature_runner()
    images = np.random.default_rng(0).random((9, 32, 32, 3), np.float32)
    (p,) = runner(**dict.fromkeys(runner.get_input_details(), images)).values()
    _, engine = load_engine(artifact)
    np.testing.assert_allclose(engine.score(images), two(p), atol=1e-5)
    engine.close()
    (tmp_path / "labels.txt").write_text("yes\n")
    with pytest.raises(SourceError, match="names 1 labels; the model gives one score, which needs two labels"):
        import_model(options, tmp_path / "out")


@pytest.mark.parametrize(
    ("compiled", "meaning"),
    [
        (None, ""),
        ({}, ""),
        ({"loss": "binary_crossentropy"}, ""),
        ({"loss": {"class_name": "BinaryCrossentropy", "config": {"from_logits": False}}}, ""),
        ({"loss": {"class_name": "BinaryCrossentropy", "config": {"from_logits": "yes"}}}, ""),
        ({"loss": {"class_name": "Hinge", "config": {"from_logits": True}}}, ""),
        ({"loss": [{"class_name": "BinaryCrossentropy", "config": {"from_logits": True}}]}, "multilabel-logits"),
        ({"loss": {"out": {"class_name": "CategoricalCrossentropy", "config": {"from_logits": True}}}}, "logits"),
        ({"loss": [[], {}]}, ""),
        ({"loss": {"class_name": 7, "config": {"from_logits": True}}}, ""),
    ],
)
def test_a_compile_configuration_is_read_as_untrusted_data(compiled: Any, meaning: str) -> None:
    assert loss_meaning(compiled) == meaning


@pytest.mark.parametrize("save", FORMATS)
def test_an_answer_that_contradicts_the_file_is_refused(save: Save, tmp_path: Path) -> None:
    options = order(save(tmp_path, spread(3, "softmax")), 3, outputs="logits")
    with pytest.raises(SourceError, match=r"--outputs is logits; .* gives probabilities: it ends with softmax"):
        import_model(options, tmp_path / "out")


def test_scores_that_sum_to_one_are_probabilities_whatever_made_them(tmp_path: Path) -> None:
    image = keras.Input((20, 16, 3))
    scores = layers.Average()([spread(3, "softmax")(image), network()(image)])
    options = order(as_keras(tmp_path, keras.Model(image, scores)), 3, engines=("litert",))
    assert import_model(options, tmp_path / "out").signature.outputs == "probabilities"


@pytest.mark.filterwarnings("ignore:.*You are using a softmax over axis:UserWarning")
def test_one_score_after_a_softmax_is_refused(tmp_path: Path) -> None:
    options = order(as_saved_model(tmp_path, network(outputs=1, activation="softmax")), 1)
    with pytest.raises(SourceError, match="gives one score after a softmax, which is the same for every image"):
        import_model(options, tmp_path / "out")


def nested_activation() -> Any:
    image = keras.Input((20, 16, 3))
    head = keras.Sequential([keras.Input((8,)), layers.Dense(3), layers.Dropout(0.2), layers.Softmax()])
    pooled = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3)(image))
    return keras.Model(image, layers.Reshape((3,))(layers.Activation("linear")(head(pooled))))


def operation() -> Any:
    made = network(activation=None)
    return keras.Model(made.inputs, keras.ops.sigmoid(made.outputs[0]))


@pytest.mark.parametrize(
    ("make", "last", "save"),
    [
        *((nested_activation, "softmax", save) for save in FORMATS),
        *((operation, "sigmoid", save) for save in FORMATS if save is not as_h5),  # HDF5 holds no operations
    ],
)
def test_the_last_operation_is_found_behind_others(
    make: Callable[[], Any], last: str, save: Save, tmp_path: Path
) -> None:
    assert open_source(order(save(tmp_path, make()), 3)).ends.last == last


@pytest.mark.parametrize(("activation", "said"), [("sigmoid", True), ("softmax", False)])
def test_the_model_card_says_that_labels_do_not_exclude_each_other(activation: str, said: bool, tmp_path: Path) -> None:
    options = order(as_keras(tmp_path, spread(3, activation)), 3, engines=("litert",))
    card = (import_model(options, tmp_path / "out").folder / "MODEL_CARD.md").read_text()
    assert ("Its labels do not exclude each other" in card) == said
    assert "It scores 3 labels" in card


@pytest.mark.parametrize("activation", ["softmax", "log_softmax"])
@pytest.mark.parametrize("save", [as_keras, as_saved_model, as_lite])
def test_several_softmaxes_in_one_row_are_refused(activation: str, save: Save, tmp_path: Path) -> None:
    made = spread(6, None)
    groups = layers.Activation(activation)(layers.Reshape((3, 2))(made.outputs[0]))
    source = save(tmp_path, keras.Model(made.inputs, layers.Flatten()(groups)))
    with pytest.raises(SourceError, match="gives the scores of several softmaxes in one row"):
        import_model(order(source, 6), tmp_path / "out")


def test_pixels_of_another_range_than_a_model_is_quantised_for_are_refused(tmp_path: Path) -> None:
    made = spread(3, "softmax", layers.Rescaling(1.0, offset=-0.5))
    source = as_whole_numbers(tmp_path, made)
    for pixels in ("raw", "tf", "torch", "caffe"):
        with pytest.raises(SourceError, match=rf"the pixels are '{pixels}'; .* is made for values from 0 to (1|0\.9)"):
            signature_for(open_source(order(source, 3)), order(source, 3, pixels=pixels))
    answers: list[tuple[str | None, float]] = [("unit", 1e-9), (None, 3e-4)]
    for answer, about in answers:
        scale = signature_for(open_source(order(source, 3)), order(source, 3, pixels=answer)).preprocessing["steps"][-1]
        assert abs(scale["factor"] - 1 / 255) < about and abs(scale["offset"]) < 0.01
