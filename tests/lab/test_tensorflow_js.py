"""Models of TensorFlow.js are imported with the scores that their arrays give, and Teachable Machine's three downloads
give the same ones."""

from __future__ import annotations

import json
import zipfile
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
from model.training.errors import SourceError  # noqa: E402
from model.training.export import variants  # noqa: E402
from model.training.importing.import_model import ImportOptions, import_model, open_source  # noqa: E402
from tests.fakes import UNMEASURED  # noqa: E402
from tests.keras2_files import saved  # noqa: E402
from tests.lab.test_archives_of_models import packed  # noqa: E402
from tests.networks import as_lite  # noqa: E402
from tests.tfjs_files import FILES, METADATA, arrays_of, dequantised, write, write_graph, write_layers  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file"),
]

EDGE = 20


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Speeds that need no measuring."""
    monkeypatch.setattr(variants, "measure_speeds", lambda targets, *_: [UNMEASURED for _ in targets])


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


def with_file(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        (folder / name).write_bytes(change((folder / name).read_bytes()))

    return apply


def with_content(change: Callable[[Any], Any]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        content = json.loads((folder / "model.json").read_text())
        (folder / "model.json").write_text(json.dumps(change(content) or content))

    return apply


def entry(**values: Any) -> Callable[[Path], None]:
    return with_content(lambda content: content["weightsManifest"][0]["weights"][0].update(values))


def paths(name: Any) -> Callable[[Path], None]:
    def change(content: Any) -> None:
        content["weightsManifest"][0]["paths"][0] = name

    return with_content(change)


def linked(folder: Path) -> None:
    (folder / SHARD).rename(folder.parent / "elsewhere.bin")
    (folder / SHARD).symlink_to("../elsewhere.bin")


def code(content: Any) -> None:
    content["modelTopology"]["config"]["layers"][-1]["config"]["layers"][0]["class_name"] = "Lambda"


def unknown(content: Any) -> None:
    content["modelTopology"]["config"]["layers"][-1]["config"]["layers"][0]["class_name"] = "OfMyOwn"


def units(content: Any) -> None:
    content["modelTopology"]["config"]["layers"][-1]["config"]["layers"][0]["config"]["units"] = 10**9


SHARD = f"group1-shard1of{FILES}.bin"
BAD: dict[str, tuple[Callable[[Path], None], str]] = {
    "a missing file": (
        lambda folder: (folder / SHARD).unlink(),
        rf"model\.json names the file of weights '{SHARD}', which is missing in .*/model$",
    ),
    "a short file": (
        with_file(SHARD, lambda data: data[:-4]),
        rf"model holds 1,788 bytes in {SHARD} \(444 bytes\), .*take 1,792: what is there is too short",
    ),
    "a long file": (
        with_file(SHARD, lambda data: data + b"1"),
        r"1of4\.bin \(\d+ bytes\), .* what is there is too long",
    ),
    "a name that leads out": (paths("../weights.bin"), r"'\.\./weights\.bin', which leads out of its folder"),
    "an address": (paths("https://example.com/w.bin"), r"which leads out of its folder"),
    "an absolute name": (paths("/etc/hostname"), r"'/etc/hostname', which leads out of its folder"),
    "a link": (linked, rf"'{SHARD}', which leads out of its folder"),
    "no name": (paths(7), r"names the file of weights '7'; it must be a name in its folder"),
    "an unknown type": (
        entry(dtype="complex64"),
        r"weightsManifest\[0\]\.weights\[0\] \('.*'\) has the dtype 'complex64'; it must be one of float32, int32",
    ),
    "an unknown quantisation": (
        entry(quantization={"dtype": "int4"}),
        r"is quantised to 'int4'; the quantization's dtype must be one of uint8, uint16, float16",
    ),
    "no scale": (
        entry(quantization={"dtype": "uint8", "min": 0}),
        r"has the scale 'null' for its quantization; it must be a finite number",
    ),
    "a shape of too many edges": (entry(shape=[1] * 99), "cannot be read: maximum supported dimension"),
    "a negative shape": (entry(shape=[-1, 3]), r"has the shape '\[-1, 3\]'; it must be a list of whole numbers from 0"),
    "weights of no layer": (entry(name="of/nothing"), r"'of/nothing', which no layer of its topology has"),
    "a number of no form": (with_content(lambda content: {**content, "weightsManifest": 1}), "weightsManifest is '1'"),
    "other weights": (entry(shape=[8, 3, 3, 3]), r"of the shape \[8, 3, 3, 3\]; its layer takes \[3, 3, 3, 8\]"),
    "no topology": (
        with_content(lambda content: {**content, "modelTopology": None}),
        r"model\.json is no model of TensorFlow\.js: its modelTopology is 'null'; it must be an object",
    ),
    "no JSON": (with_file("model.json", lambda data: data[:-1]), r"model\.json is not JSON: .*, line 1"),
    "too much JSON": (
        with_file("model.json", lambda data: data + b" " * 10_000_000),
        r"model\.json has more than 10,000,000 bytes, the limit for text files",
    ),
    "code": (with_content(code), "holds a Lambda layer, which runs code that comes with the file"),
    "an unknown layer": (with_content(unknown), r"OfMyOwn.*; TensorFlow\.js saved it, whose layers Keras .* in part"),
    "a network of any size": (with_content(units), r"describes a network of 12,000,000,\d+ numbers and holds 448"),
    "a network of Keras 3": (
        with_content(lambda content: content["modelTopology"].update(keras_version="3.8.0")),
        r"was converted from a network of Keras 3\.8\.0, .*; import the file that Keras saved",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_other_models_are_refused(name: str, tmp_path: Path) -> None:
    network = machine()
    folder = write_layers(tmp_path / "model", network)
    change, words = BAD[name]
    change(folder)
    with pytest.raises(SourceError, match=words):
        open_source(ImportOptions(str(folder)))


def test_other_graphs_are_refused(tmp_path: Path) -> None:
    """Operations that do more than compute, unknown fusions, tables, constants without arrays or of other shapes."""
    graph = fused_graph()
    arrays, ends = constants(graph), (["image:0"], ["scores:0"])

    def refusal(name: str, made: Any, of: Any, **more: Any) -> str:
        with pytest.raises(SourceError) as refused:
            open_source(ImportOptions(str(write_graph(tmp_path / name, made, of, *ends, **more))))
        return str(refused.value)

    reading = fused_graph()
    reading.node.add(name="file", op="ReadFile", input=["k"])
    assert "model.json runs ReadFile ('file'); a served model may only compute" in refusal("a", reading, arrays)
    assert "('conv') is fused with 'Gelu'; only BiasAdd" in refusal("b", fused_graph(activation=b"Gelu"), arrays)
    assert refusal("c", graph, arrays, modelInitializer={"node": [1]}).endswith("a served model only computes")
    assert "lists no weights for the constant 'e'" in refusal("d", graph, {k: v for k, v in arrays.items() if k != "e"})
    assert "of the shape [4]; its graph takes [3]" in refusal("e", graph, {**arrays, "e": arrays["b"]})
    ends = ["image:0"], ["nothing:0"]
    assert "is not a graph that TensorFlow can load" in refusal("f", graph, arrays)
    path = write(tmp_path / "g", {"modelTopology": {"node": [{"name": 1.5, "attr": []}]}}, arrays)
    with pytest.raises(SourceError, match="modelTopology is not a graph of TensorFlow"):
        open_source(ImportOptions(str(path)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labels": ["a", "b", "a"]}, "number 0 and number 2 are both 'a'; each label may occur once"),
        ({"labels": ["a", "b"]}, "names 2 labels; the model gives 3 scores"),
        ({"labels": "abc"}, "labels is 'abc'; it must be a list"),
        ({"imageSize": 96}, r"takes images of 20x20 pixels; the metadata of Teachable Machine next to it say 96"),
        ({"imageSize": "20"}, "imageSize is '20'; it must be a number of pixels"),
        ({"packageName": "@teachablemachine/pose"}, "packageName is '@teachablemachine/pose'; only @teachablem"),
    ],
)
def test_metadata_that_contradict_the_model_are_refused(changes: Any, words: str, tmp_path: Path) -> None:
    folder = write_layers(tmp_path / "model", machine())
    (folder / "metadata.json").write_text(json.dumps({**METADATA, **changes}))
    with pytest.raises(SourceError, match=words):
        import_model(ImportOptions(str(folder)), tmp_path / "out")


def test_an_archive_s_messages_name_the_archive(tmp_path: Path) -> None:
    folder = write_layers(tmp_path / "model", machine())
    (folder / SHARD).unlink()
    path = packed(tmp_path / "a.zip", {f"inside/{each.name}": each for each in folder.iterdir()})
    with pytest.raises(SourceError, match=rf"^{path}/inside/model\.json names the file of weights '{SHARD}', which is"):
        import_model(ImportOptions(str(path)), tmp_path / "out")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("model.h5", b"")
    with pytest.raises(SourceError, match=r"holds 2 models \(model\.h5, inside/model\.json\)"):
        import_model(ImportOptions(str(path)), tmp_path / "out")


def test_two_layers_of_one_name_are_refused(tmp_path: Path) -> None:
    network = machine()
    first, *_, last = (name.split("/")[0] for name in arrays_of(network))
    folder = write_layers(tmp_path / "model", network)

    def renamed(content: Any) -> None:
        content["modelTopology"] = json.loads(json.dumps(content["modelTopology"]).replace(f'"{last}', f'"{first}'))

    with_content(renamed)(folder)
    with pytest.raises(SourceError, match=rf"two layers named '{first}'; which weights are whose is not certain"):
        open_source(ImportOptions(str(folder)))
