"""Models of TensorFlow.js that are damaged, contradict themselves or do more than compute are refused in a sentence."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("keras", reason="no TensorFlow: pip install -r model/requirements.txt")

from model.training.errors import SourceError
from model.training.importing.import_model import ImportOptions, import_model, open_source
from tests.lab.test_archives_of_models import packed
from tests.lab.test_tensorflow_js import constants, fused_graph, machine
from tests.tfjs_files import FILES, METADATA, arrays_of, write, write_graph, write_layers

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")


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
    "a shape of too many edges": (entry(shape=[216] + [1] * 99), "cannot be read: maximum supported dimension"),
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
