"""The catalog's input sizes and preprocessing equal those of Keras, for every architecture."""

from __future__ import annotations

import importlib
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

keras = pytest.importorskip("keras", reason="no TensorFlow: pip install -r model/requirements.txt")

from model.__main__ import main  # noqa: E402
from model.engines.base import Signature  # noqa: E402
from model.preprocessing.recipe import check_recipe, preprocess, run_recipe  # noqa: E402
from model.training.errors import SourceError  # noqa: E402
from model.training.importing.catalog import Architecture, build, catalog, find  # noqa: E402
from model.training.importing.recipe import PIXELS, recipe  # noqa: E402
from tests.samples import encoded  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

FIRST = ["ResNet50", "MobileNetV2", "NASNetMobile", "DenseNet121"]
ALL = [*FIRST, *sorted(set(catalog()) - set(FIRST))]


def module_of(architecture: Architecture) -> Any:
    return importlib.import_module(architecture.make.__module__)


@pytest.mark.parametrize("name", ALL)
def test_the_recipe_equals_the_preprocessing_of_keras(name: str) -> None:
    architecture = catalog()[name]
    photo = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    signature = Signature(32, 32, 3, "float32", ("a",), recipe(architecture.pixels, 32, 32, framing="squash"))
    ours = run_recipe(Image.fromarray(photo), signature)
    theirs = module_of(architecture).preprocess_input(photo[None].astype(np.float32))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=2e-5)
    if architecture.pixels != "raw":
        assert np.abs(ours - photo).max() > 1, "something was done"


@pytest.mark.parametrize("name", ALL)
def test_the_input_size_is_that_of_keras(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Asked(Exception):
        pass

    def ask(input_shape: Any, default_size: int, **_: Any) -> None:
        raise Asked(default_size)

    architecture = catalog()[name]
    monkeypatch.setattr(module_of(architecture).imagenet_utils, "obtain_input_shape", ask)
    try:  # without building a large network, where its module asks
        edge = architecture.make(weights=None).input_shape[1]
    except Asked as asked:
        (edge,) = asked.args
    assert edge in (architecture.size, None), "MobileNetV3 takes any size; its weights are of 224"


@pytest.mark.parametrize("framing", ["crop", "squash"])
@pytest.mark.parametrize("pixels", PIXELS)
def test_every_recipe_can_be_run(pixels: str, framing: str) -> None:
    signature = Signature(20, 20, 3, "float32", ("a",), recipe(pixels, 20, 20, framing=framing))
    check_recipe(signature)
    for size in ((1, 1), (1, 3000), (3000, 2), (20, 20)):
        assert preprocess(encoded("PNG", size), signature).shape == (1, 20, 20, 3)


def test_a_crop_keeps_the_middle_in_proportion() -> None:
    signature = Signature(40, 40, 3, "float32", ("a",), recipe("raw", 40, 40))
    photo = Image.new("RGB", (400, 200), "red")
    photo.paste("blue", (120, 20, 280, 180))  # a bit less than the box that is kept, 175 pixels wide
    seen = run_recipe(photo, signature)[0, :, :, 2] > 127
    rows, columns = np.nonzero(seen)
    assert (columns.max() - columns.min(), rows.max() - rows.min()) == pytest.approx((36, 36), abs=1)
    assert not seen[0].any() and not seen[:, 0].any()


def test_one_channel_refuses_normalisation_of_three() -> None:
    with pytest.raises(SourceError, match="the pixels are 'caffe', a scaling of three channels"):
        recipe("caffe", 20, 20, 1)


def test_names_are_found_in_any_case_and_others_refused() -> None:
    assert find("resnet50").name == "ResNet50"
    with pytest.raises(SourceError, match="the architecture is 'ResNet51'; `python -m model catalog` lists"):
        find("ResNet51")


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("MobileNet", {"weights": "none", "size": 16}, "Input size must be at least 32x32"),
        ("ResNet50", {"weights": "none", "alpha": 0.5}, "alpha is 0.5; ResNet50 has one width, 1"),
        ("MobileNet", {"weights": "nowhere.h5", "size": 32}, "nowhere.h5 do not exist; they must be a file"),
    ],
)
def test_an_architecture_that_cannot_be_built_is_reported(name: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(SourceError, match=words):
        build(find(name), **options)


def test_weights_that_cannot_be_downloaded_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: Any, **__: Any) -> None:
        raise Exception("URL fetch failure on https://example.invalid")  # as Keras does

    architecture = find("MobileNet")
    monkeypatch.setattr(module_of(architecture).file_utils, "get_file", offline)
    with pytest.raises(
        SourceError, match=r"MobileNet .* cannot be built: URL fetch failure.*weights may also be a file"
    ):
        build(architecture, "imagenet")


def test_the_command_lists_the_architectures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["catalog", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(rows) == set(ALL)
    assert rows["NASNetLarge"] == {"name": "NASNetLarge", "size": 331, "pixels": "tf", "alpha": False}
    assert rows["MobileNet"]["alpha"]
    assert main(["catalog"]) == 0
    assert "ResNet50             224x224  caffe" in capsys.readouterr().out
