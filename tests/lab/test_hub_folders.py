"""Folders from Hugging Face and timm are imported with what their configuration says, and asked about the rest."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("keras", reason="no TensorFlow: pip install -r model/requirements.txt")

from infra.local.storage.server import StorageServer
from model.__main__ import main
from model.artifact.load import Artifact, load_engine
from model.preprocessing.framing import frame
from model.preprocessing.recipe import run_recipe
from model.training.errors import SourceError
from model.training.importing.import_model import ImportOptions, import_model
from tests.conftest import require

require("onnx")
require("onnxruntime")
from onnx import TensorProto, numpy_helper  # noqa: E402
from PIL import Image  # noqa: E402

from tests.hub_folders import CONFIG, TIMM, VIT, many, open_edges, repository, without  # noqa: E402
from tests.onnx_models import EDGES, logits, network, saved, softmax  # noqa: E402
from tests.storage_bucket import new_bucket  # noqa: E402

pytestmark = pytest.mark.usefixtures("unmeasured", "no_onnx2tf")


def scores_of(artifact: Artifact, images: Any) -> Any:
    _, engine = load_engine(artifact)
    scores = engine.score(images)
    engine.close()
    return scores


IMAGES = np.random.default_rng(0).normal(size=(9, *EDGES, 3)).astype(np.float32)


def test_a_repository_is_imported_without_a_question(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = repository(tmp_path / "vit-pets")
    assert main(["import", str(folder), "--out", str(tmp_path / "out"), "--json"]) == 0
    assert "warning" not in capsys.readouterr().err
    artifact = import_model(ImportOptions(str(folder)), tmp_path / "out")
    assert artifact.name == "vit-pets" and artifact.signature.labels == ("tabby, tabby cat", "Samoyed", "red fox")
    assert artifact.signature.preprocessing["steps"][1]["resampling"] == "bilinear"
    np.testing.assert_allclose(scores_of(artifact, IMAGES), softmax(logits(IMAGES)), atol=1e-5)
    card = (artifact.folder / "MODEL_CARD.md").read_text()
    assert "Imported from `vit-pets`" in card and "Pixels: as preprocessor_config.json says" in card


def test_an_export_of_timm_says_all_but_the_meaning_of_its_outputs(tmp_path: Path) -> None:
    folder = repository(tmp_path / "resnet18", config=TIMM, preprocessor=None, files={"model.onnx": network(last=None)})
    with pytest.raises(SourceError, match="does not say what its outputs mean"):
        import_model(ImportOptions(str(folder)), tmp_path / "out")
    artifact = import_model(ImportOptions(str(folder), outputs="logits"), tmp_path / "out")
    assert artifact.signature.labels == ("tabby", "Samoyed", "red fox")
    frame = artifact.signature.preprocessing["steps"][1]
    assert (frame["resize_height"], frame["resize_width"], frame["rounding"]) == (6, 5, "even"), "6 / 0.95, 5 / 0.95"


def test_timm_s_size_for_tests_is_that_of_the_file_where_it_takes_it(tmp_path: Path) -> None:
    own = TIMM["pretrained_cfg"] | {"input_size": [3, 4, 4], "test_input_size": [3, 6, 5], "test_crop_pct": 0.5}
    folder = repository(
        tmp_path / "a", config={**TIMM, "pretrained_cfg": own}, preprocessor=None, files={"a.onnx": network()}
    )
    frame = import_model(ImportOptions(str(folder)), tmp_path / "out").signature.preprocessing["steps"][1]
    assert (frame["height"], frame["width"], frame["resize_height"], frame["resize_width"]) == (6, 5, 12, 10)


@pytest.mark.parametrize(
    ("problem", "expected"),
    [(None, softmax), ("multi_label_classification", lambda values: 1 / (1 + np.exp(-values)))],
)
def test_scores_are_those_of_transformers_pipeline(problem: str | None, expected: Any, tmp_path: Path) -> None:
    folder = repository(tmp_path / "a", config=without(CONFIG, "problem_type", problem_type=problem))
    artifact = import_model(ImportOptions(str(folder)), tmp_path / "out")
    np.testing.assert_allclose(scores_of(artifact, IMAGES), expected(logits(IMAGES)), atol=1e-5)
    assert artifact.signature.multi_label == (problem is not None)


def test_weights_in_other_files_are_put_into_the_served_file(tmp_path: Path) -> None:
    made = open_edges(network(last=None))
    matrix = made.graph.initializer[0]
    data = matrix.raw_data
    matrix.ClearField("raw_data")
    matrix.data_location = TensorProto.EXTERNAL
    matrix.external_data.add(key="location", value="model.onnx_data")
    matrix.external_data.add(key="length", value=str(len(data)))
    folder = repository(tmp_path / "a", files={"onnx/model.onnx": made})
    (folder / "onnx" / "model.onnx_data").write_bytes(data)
    artifact = import_model(ImportOptions(str(folder)), tmp_path / "out")
    np.testing.assert_allclose(scores_of(artifact, IMAGES), softmax(logits(IMAGES)), atol=1e-5)


def variant(*, wrong: bool = False) -> Any:
    """The network with weights of half precision, or with its labels in another order."""
    made = network(last=None)
    matrix = numpy_helper.to_array(made.graph.initializer[0])
    other = matrix[::-1] if wrong else matrix.astype(np.float16).astype(np.float32)
    made.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(other), "matrix"))
    return open_edges(made)


@pytest.fixture
def several(tmp_path: Path) -> Path:
    spied = open_edges(network(last=None))
    spied.graph.node[-1].domain = "com.microsoft"
    files = {"model": network(last=None), "model_fp16": variant(), "model_int8": variant(wrong=True), "model_q4": spied}
    return repository(tmp_path / "a", files={f"onnx/{name}.onnx": made for name, made in files.items()})


def test_one_of_several_files_is_chosen_by_name(several: Path, tmp_path: Path) -> None:
    words = r"holds onnx/model\.onnx, onnx/model_fp16\.onnx, .*; choose one with --file, or name images with --data"
    with pytest.raises(SourceError, match=words):
        import_model(ImportOptions(str(several)), tmp_path / "out")
    for wrong in ("model_fp16.onnx", "../a.onnx", "config.json"):
        with pytest.raises(SourceError, match=rf"--file is '{wrong}'; .* holds onnx/model\.onnx, onnx/model_fp16"):
            import_model(ImportOptions(str(several), file=wrong), tmp_path / "out")
    with pytest.raises(SourceError, match=r"a/onnx/model_q4\.onnx .*operator 'com\.microsoft\.Gemm'"):
        import_model(ImportOptions(str(several), file="onnx/model_q4.onnx"), tmp_path / "out")
    command = ["import", str(several), "--file", "onnx/model_fp16.onnx", "--out", str(tmp_path / "out")]
    assert main(command) == 0
    _, engine = load_engine(import_model(ImportOptions(str(several), file="onnx/model_fp16.onnx"), tmp_path / "out"))
    assert np.abs(engine.score(IMAGES) - softmax(logits(IMAGES))).max() > 0, "the other file's weights"
    engine.close()


def test_images_decide_which_of_several_files_predicts_like_the_network(
    several: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(12):
        noise = np.random.default_rng(number).integers(0, 256, (9, 9, 3), np.uint8)
        Image.fromarray(noise).save(photos / f"{number}.png")
    artifact = import_model(ImportOptions(str(several), data=photos), tmp_path / "out")
    said = capsys.readouterr().err
    assert "onnx/model_q4.onnx is left out: " in said and "onnx/model_fp16.onnx: agreement 100.00%" in said
    assert "onnx/model_int8.onnx: agreement 100" not in said
    assert "onnx/model.onnx is imported: the fastest file that predicts like onnx/model.onnx" in said
    np.testing.assert_allclose(scores_of(artifact, IMAGES), softmax(logits(IMAGES)), atol=1e-6)


def test_options_complete_what_a_folder_does_not_say(tmp_path: Path) -> None:
    folder = repository(tmp_path / "a", config=None, preprocessor=None, files={"net.onnx": network(last=None)})
    (tmp_path / "labels.json").write_text(json.dumps(["a", "b", "c"]))
    options = ImportOptions(str(folder), labels=tmp_path / "labels.json", pixels="unit", outputs="logits")
    assert import_model(options, tmp_path / "out").signature.labels == ("a", "b", "c")


def test_options_replace_what_is_not_understood(tmp_path: Path) -> None:
    folder = repository(
        tmp_path / "a",
        config=without(CONFIG, id2label={"7": "x"}),
        preprocessor={"image_processor_type": "OwnProcessor"},
    )
    steps = [{"op": "rgb"}, {"op": "resize", "width": 5, "height": 6}, {"op": "scale", "factor": 0.01, "offset": 0}]
    (tmp_path / "recipe.json").write_text(json.dumps({"steps": steps}))
    (tmp_path / "labels.json").write_text(json.dumps(["a", "b", "c"]))
    with pytest.raises(SourceError, match="image_processor_type is 'OwnProcessor'; it must be one of"):
        import_model(ImportOptions(str(folder), labels=tmp_path / "labels.json"), tmp_path / "out")
    with pytest.raises(SourceError, match="id2label has no label for the score 0"):
        import_model(ImportOptions(str(folder), recipe=tmp_path / "recipe.json"), tmp_path / "out")
    for file in (folder / "onnx").iterdir():
        saved(file, network(last=None))
    options = ImportOptions(str(folder), recipe=tmp_path / "recipe.json", labels=tmp_path / "labels.json")
    assert import_model(options, tmp_path / "out").signature.preprocessing == {"steps": steps}


def test_labels_of_imagenet_fit_a_model_with_a_background(tmp_path: Path) -> None:
    folder = repository(tmp_path / "a", config=many(1000), files={"model.onnx": network(labels=1001, last=None)})
    labels = import_model(ImportOptions(str(folder)), tmp_path / "out").signature.labels
    assert len(labels) == 1001 and labels[:2] == ("background", "label 0")


def test_a_model_of_whole_numbers_gets_the_pixels_themselves(tmp_path: Path) -> None:
    given = without(VIT, do_rescale=False, do_normalize=False)
    made = network(kind=TensorProto.UINT8, last=None)
    artifact = import_model(
        ImportOptions(str(repository(tmp_path / "a", preprocessor=given, files={"model.onnx": made}))), tmp_path / "out"
    )
    image = np.random.default_rng(0).integers(0, 256, (*EDGES, 3), np.uint8)
    np.testing.assert_array_equal(run_recipe(Image.fromarray(image), artifact.signature)[0], image)


def test_bilinear_without_antialias_is_tensorflow_s() -> None:
    import tensorflow as tf

    image = np.random.default_rng(0).integers(0, 256, (90, 61, 3), np.uint8)
    step = {"fit": "stretch", "width": 20, "height": 31, "resize_width": 20, "resize_height": 31, "antialias": False}
    expected = tf.image.resize(image, (31, 20), "bilinear", antialias=False)
    np.testing.assert_allclose(np.asarray(frame(Image.fromarray(image), step)), expected, atol=0.5001)


def packed(folder: Path, inside: str = "") -> Path:
    """A zip of the files of a folder."""
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, f"{inside}{file.relative_to(folder)}")
    return path


@pytest.mark.parametrize("inside", ["", "vit-pets-main/"])
def test_a_repository_in_a_zip_is_imported_like_its_folder(inside: str, tmp_path: Path) -> None:
    path = packed(repository(tmp_path / "a"), inside)
    artifact = import_model(ImportOptions(str(path)), tmp_path / "out")
    assert artifact.name == "a" and artifact.signature.labels[0] == "tabby, tabby cat"
    np.testing.assert_allclose(scores_of(artifact, IMAGES), softmax(logits(IMAGES)), atol=1e-5)


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    path = packed(repository(tmp_path / "a"))
    data = bytearray(path.read_bytes())
    for magic, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = data.find(magic)
        while place >= 0:
            data[place + flags] |= 1
            place = data.find(magic, place + 4)
    path.write_bytes(data)
    with pytest.raises(SourceError, match=r"a\.zip cannot be unpacked: .*encrypted"):
        import_model(ImportOptions(str(path)), tmp_path / "out")


def test_a_folder_in_a_bucket_is_imported(tmp_path: Path) -> None:
    folder = repository(tmp_path / "vit-pets")
    with StorageServer() as server, new_bucket(server, "hub") as bucket:
        for file in folder.rglob("*.*"):
            bucket.blob(f"models/vit-pets/{file.relative_to(folder)}").upload_from_filename(file)
        artifact = import_model(ImportOptions("gs://hub/models/vit-pets"), tmp_path / "out")
    assert artifact.name == "vit-pets" and artifact.signature.labels[2] == "red fox"
    assert "Imported from `vit-pets`" in (artifact.folder / "MODEL_CARD.md").read_text()
