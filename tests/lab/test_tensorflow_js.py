"""Models of TensorFlow.js are imported with the scores that their arrays give, and Teachable Machine's three downloads
give the same ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

keras = pytest.importorskip("keras", reason="no TensorFlow: pip install -r model/requirements.txt")
import tensorflow as tf  # noqa: E402
from keras import layers  # noqa: E402
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2  # noqa: E402

from model.artifact.load import load_engine  # noqa: E402
from model.predictor import Predictor  # noqa: E402
from model.training.importing.import_model import ImportOptions, import_model, open_source  # noqa: E402
from tests.keras2_files import saved  # noqa: E402
from tests.lab.test_archives_of_models import packed  # noqa: E402
from tests.networks import as_lite  # noqa: E402
from tests.tfjs_files import METADATA, dequantised, write_graph, write_layers  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file"),
    pytest.mark.usefixtures("unmeasured"),
]

EDGE = 20


def machine() -> Any:
    """The form of Teachable Machine: a network without its head, pooled, and a head of its own; all three nested."""
    keras.utils.set_random_seed(3)
    image = keras.Input((EDGE, EDGE, 3))
    x = layers.BatchNormalization()(layers.Conv2D(8, 3, strides=2, use_bias=False)(layers.ZeroPadding2D()(image)))
    x = layers.Add()([y := layers.ReLU(6.0)(x), layers.DepthwiseConv2D(3, padding="same")(y)])
    body = keras.Sequential([keras.Input(image.shape[1:]), keras.Model(image, x), layers.GlobalAveragePooling2D()])
    head = keras.Sequential([keras.Input((8,)), layers.Dense(10, "relu"), layers.Dense(3, "softmax", use_bias=False)])
    return trained(keras.Sequential([keras.Input(image.shape[1:]), body, head]))


def functional() -> Any:
    """A network that calls networks, with layers whose arguments or weights Keras 2 names differently."""
    keras.utils.set_random_seed(4)
    inner = keras.Sequential([keras.Input((EDGE, EDGE, 3)), layers.SeparableConv2D(6, 3), layers.PReLU()])
    image = keras.Input((EDGE, EDGE, 3))
    x = layers.LeakyReLU(negative_slope=0.2)(inner(image))
    x = layers.Dropout(0.1)(layers.MaxPooling2D()(layers.Concatenate()([x, layers.BatchNormalization()(x)])))
    return trained(keras.Model(image, layers.Dense(3, "softmax")(layers.Flatten()(x))))


def trained(network: Any) -> Any:
    """The network with weights of which each matters."""
    rng = np.random.default_rng(5)
    network.set_weights([rng.uniform(0.02, 0.4, each.shape) * rng.choice([1, 1, -1]) for each in network.get_weights()])
    for layer in network._flatten_layers():
        if isinstance(layer, layers.BatchNormalization):
            layer.moving_variance.assign(np.abs(layer.moving_variance))
    return network


def noise(count: int = 8) -> Any:
    return np.random.default_rng(6).uniform(-1, 1, (count, EDGE, EDGE, 3)).astype(np.float32)


@pytest.mark.parametrize("quantised", [None, "uint8", "uint16", "float16"])
@pytest.mark.parametrize("make", [machine, functional])
def test_a_layers_model_scores_as_its_network(make: Callable[[], Any], quantised: str | None, tmp_path: Path) -> None:
    network = make()
    folder = write_layers(tmp_path / "model", network, quantised)
    network.set_weights([dequantised(each, quantised) for each in network.get_weights()])
    expected = np.asarray(network(noise(), training=False))
    assert np.ptp(expected, axis=0).max() > 1e-3, "the scores depend on the images"
    for path in (folder, folder / "model.json"):
        source = open_source(ImportOptions(str(path)))
        np.testing.assert_allclose(source.score(noise(), None), expected, atol=1e-6)  # type: ignore[arg-type]
        assert (source.spec.outputs, source.ends.last, source.labels, source.pixels) == (3, "softmax", None, None)


def photo(width: int, height: int) -> bytes:
    file = BytesIO()
    pixels = np.random.default_rng(width).integers(0, 255, (6, 8, 3), np.uint8)
    Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC).save(file, "PNG")
    return file.getvalue()


def downloads(folder: Path, network: Any) -> dict[str, Path]:
    """The archives that Teachable Machine offers for a network."""
    labels = b"0 Class 1\n1 Class 2\n2 Class 3\n"
    javascript = write_layers(folder / "javascript", network)
    (javascript / "metadata.json").write_text(json.dumps(METADATA))
    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[None]] for image in noise(100))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    contents: dict[str, dict[str, Path | bytes]] = {
        "javascript": {each.name: each for each in javascript.iterdir()},
        "keras": {"keras_model.h5": saved(network, folder / "keras_model.h5"), "labels.txt": labels},
        "unquantised": {"model_unquant.tflite": as_lite(folder, network), "labels.txt": labels},
        "quantised": {"model.tflite": converter.convert(), "labels.txt": labels},
    }
    return {name: packed(folder / f"{name}.zip", content) for name, content in contents.items()}


@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs were expected")
def test_the_downloads_of_teachable_machine_give_the_same_scores(tmp_path: Path) -> None:
    network, scores = machine(), {}
    photos = [photo(*size) for size in ((20, 20), (60, 40), (33, 90))]
    for name, path in downloads(tmp_path, network).items():
        asked = None if name == "javascript" else "teachable-machine"
        artifact = import_model(ImportOptions(str(path), pixels=asked, engines=("litert",)), tmp_path / "out" / name)
        assert artifact.signature.labels == ("Class 1", "Class 2", "Class 3")
        _, engine = load_engine(artifact)
        images = np.concatenate([Predictor(engine).prepare(each) for each in photos])
        scores[name] = engine.score(images)
        engine.close()
        if name == "javascript":  # its library: the middle square of each photo, divided by 127
            assert (images.min() >= -1, 1 < images.max() <= 255 / 127 - 1) == (True, True)
            np.testing.assert_allclose(images[0], np.asarray(Image.open(BytesIO(photos[0]))) / 127 - 1, atol=1e-6)
            np.testing.assert_allclose(scores[name], network(images, training=False), atol=1e-5)
    assert np.ptp(scores["javascript"], axis=0).max() > 0.01, "the scores depend on the photos"
    for name, tolerance in (("keras", 1e-6), ("unquantised", 1e-6), ("quantised", 0.05)):
        np.testing.assert_allclose(scores[name], scores["javascript"], atol=tolerance)


def frozen(network: Any) -> tuple[Any, str, str]:
    """A graph with constants for the weights, and the names of its input and output."""
    function = tf.function(lambda images: network(images, training=False), autograph=False)
    made = convert_variables_to_constants_v2(function.get_concrete_function(tf.TensorSpec((None, EDGE, EDGE, 3))))
    return made.graph.as_graph_def(), made.inputs[0].name, made.outputs[0].name


def constants(graph: Any) -> dict[str, Any]:
    return {node.name: tf.make_ndarray(node.attr["value"].tensor) for node in graph.node if node.op == "Const"}


def test_a_graph_model_is_served_with_its_scores(tmp_path: Path) -> None:
    network = functional()
    graph, given, made = frozen(network)
    folder = write_graph(tmp_path / "graph", graph, constants(graph), [given], [made])
    (tmp_path / "labels.txt").write_text("cat\ndog\neel\n")
    order = ImportOptions(str(folder), pixels="tf", labels=tmp_path / "labels.txt")
    artifact = import_model(order, tmp_path / "out")
    expected = network(noise(), training=False)
    assert set(artifact.engines) == {"litert", "savedmodel"}
    for name in artifact.engines:
        _, engine = load_engine(artifact, name)
        np.testing.assert_allclose(engine.score(noise()), expected, atol=1e-5)
        engine.close()


def fused_graph(*, activation: bytes = b"Relu6") -> Any:
    """Operations as the converter fuses them, on an image of 20x20 pixels."""
    rng = np.random.default_rng(7)
    graph = tf.Graph()
    with graph.as_default():
        tf.compat.v1.placeholder(tf.float32, (None, EDGE, EDGE, 3), "image")
        for name, shape in (
            ("k", (3, 3, 3, 4)),
            ("b", (4,)),
            ("d", (3, 3, 4, 1)),
            ("a", (4,)),
            ("m", (4, 3)),
            ("e", (3,)),
        ):
            tf.constant(rng.uniform(-0.5, 0.5, shape).astype(np.float32), name=name)
        tf.constant([1, 2], name="axes")
    made = graph.as_graph_def()

    def add(name: str, op: str, inputs: list[str], fused: list[bytes], **more: Any) -> None:
        node = made.node.add(name=name, op=op, input=inputs)
        node.attr["T"].type = tf.float32.as_datatype_enum
        if fused:
            node.attr["fused_ops"].list.s.extend(fused)
            node.attr["num_args"].i = len(inputs) - 2
            node.attr["epsilon"].f = 1e-4
        if op.endswith(("Conv2D", "Conv2dNative")):
            node.attr["strides"].list.i.extend([1, 2, 2, 1])
            node.attr["padding"].s = b"SAME"
        for key, value in more.items():
            node.attr[key].f = value

    add("conv", "_FusedConv2D", ["image", "k", "b"], [b"BiasAdd", activation])
    add("depth", "FusedDepthwiseConv2dNative", ["conv", "d", "b", "a"], [b"BiasAdd", b"Prelu"])
    add("more", "_FusedConv2D", ["image", "k"], [b"LeakyRelu"], leakyrelu_alpha=0.3)
    add("slope", "Prelu", ["more", "a"], [])
    mean = made.node.add(name="mean", op="Mean", input=["depth", "axes"])
    mean.attr["T"].type, mean.attr["Tidx"].type = tf.float32.as_datatype_enum, tf.int32.as_datatype_enum
    other = made.node.add(name="other", op="Mean", input=["slope", "axes"])
    other.CopyFrom(mean)
    other.name, other.input[0] = "other", "slope"
    add("sum", "AddV2", ["mean", "other"], [])
    add("logits", "_FusedMatMul", ["sum", "m", "e"], [b"BiasAdd"])
    add("scores", "Softmax", ["logits"], [])
    return made


def test_fused_operations_of_a_graph_model_are_separated(tmp_path: Path) -> None:
    graph = fused_graph()
    arrays = constants(graph)
    k, b, d, a, m, e = (arrays[name] for name in "kbdame")
    images = noise()

    def prelu(x: Any) -> Any:
        return np.maximum(x, 0) + a * np.minimum(x, 0)

    x = tf.nn.relu6(tf.nn.conv2d(images, k, 2, "SAME") + b)
    x = prelu(tf.nn.depthwise_conv2d(x, d, [1, 2, 2, 1], "SAME") + b)
    y = prelu(tf.nn.leaky_relu(tf.nn.conv2d(images, k, 2, "SAME"), 0.3))
    expected = tf.nn.softmax((np.mean(x, (1, 2)) + np.mean(y, (1, 2))) @ m + e)
    folder = write_graph(tmp_path / "graph", graph, arrays, ["image:0"], ["scores:0"])
    source = open_source(ImportOptions(str(folder)))
    np.testing.assert_allclose(source.score(images, None), expected, atol=1e-6)  # type: ignore[arg-type]
    content = json.loads((folder / "model.json").read_text())
    del content["signature"]  # then its placeholder and its last operation are the ends
    (folder / "model.json").write_text(json.dumps(content))
    source = open_source(ImportOptions(str(folder)))
    np.testing.assert_allclose(source.score(images, None), expected, atol=1e-6)  # type: ignore[arg-type]
