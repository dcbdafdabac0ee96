"""Preprocessing recipes: dataset images pass unchanged, product photos become dataset images."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from model.engines.base import Images, Signature
from model.images.limits import Limits
from model.images.memory_budget import MemoryBudget
from model.preprocessing.recipe import check_recipe, preprocess, run_recipe
from tests.samples import encoded

RECIPE = Path("model/training/recipes/fashion-mnist.json")


@pytest.fixture
def fashion(root: Path) -> Signature:
    return Signature(28, 28, 1, "float32", ("a", "b"), json.loads((root / RECIPE).read_text()))


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def photo(background: int, garment: int, size: tuple[int, int] = (480, 640)) -> Image.Image:
    image = Image.new("RGB", size, (background,) * 3)
    ImageDraw.Draw(image).rectangle((100, 200, 219, 439), fill=(garment,) * 3)
    return image


def test_dataset_images_pass_unchanged(fashion: Signature, shared_data: Path) -> None:
    with gzip.open(shared_data / "fashion-mnist" / "t10k-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    for raw in pixels[:200]:
        array = preprocess(png(Image.fromarray(raw)), fashion)
        assert array.shape == (1, 28, 28, 1) and array.dtype == np.float32
        np.testing.assert_allclose(array[0, :, :, 0], raw / np.float32(255), atol=1e-7)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_a_dataset_image_may_be_saved_in_any_mode(fashion: Signature, mode: str) -> None:
    raw = Image.linear_gradient("L").resize((28, 28))
    array = preprocess(png(raw.convert(mode)), fashion)
    np.testing.assert_allclose(array[0, :, :, 0], np.asarray(raw) / np.float32(255), atol=0.005)


@pytest.mark.parametrize(("background", "garment"), [(255, 60), (230, 90), (20, 200)])
def test_a_photo_is_trimmed_negated_and_centred(fashion: Signature, background: int, garment: int) -> None:
    array = preprocess(png(photo(background, garment)), fashion)[0, :, :, 0]
    rows, columns = np.nonzero(array > 0.3)
    assert (rows.min(), rows.max()) == (0, 27), "the longest edge fills the frame"
    assert columns.max() - columns.min() + 1 in (13, 14, 15), "the proportions stay, to a pixel of the small image"
    assert abs((columns.min() + columns.max()) / 2 - 13.5) <= 0.5, "in the middle"
    assert array[:, :5].max() < 0.05, "on black"


def test_an_image_with_nothing_on_it_is_black(fashion: Signature) -> None:
    assert float(run_recipe(Image.new("RGB", (300, 200), "white"), fashion).max()) == 0.0


@pytest.mark.parametrize("size", [(1, 1), (1, 2000), (2000, 1), (27, 28), (3000, 2)])
def test_images_of_any_size_are_preprocessed(fashion: Signature, size: tuple[int, int]) -> None:
    array = run_recipe(Image.radial_gradient("L").resize(size), fashion)
    assert array.shape == (1, 28, 28, 1)
    assert 0 <= float(array.min()) <= float(array.max()) <= 1


def test_the_shipped_recipe_can_be_run(fashion: Signature) -> None:
    check_recipe(fashion)


SCALE = {"op": "scale", "factor": 1.0, "offset": 0.0}


@pytest.mark.parametrize(
    "steps",
    [
        [{"op": "resize", "width": 20, "height": 20}],
        [{"op": "rgb"}, {"op": "resize", "width": 28, "height": 28}],
        [{"op": "trim", "threshold": 3}, {"op": "resize", "width": 28, "height": 28}],
        [{"op": "unless_size", "width": 28, "height": 28, "steps": [{"op": "resize", "width": 28, "height": 28}]}],
    ],
)
def test_a_recipe_that_does_not_end_with_what_the_model_takes_is_refused(steps: list[object]) -> None:
    signature = Signature(28, 28, 1, "float32", ("a",), {"steps": [*steps, SCALE]})
    with pytest.raises(ValueError, match=r"cannot be run on an image of \d+ x \d+ pixels: "):
        check_recipe(signature)


def test_whole_numbers_for_quantised_models() -> None:
    steps = [{"op": "rgb"}, {"op": "resize", "width": 2, "height": 2}, SCALE]
    signature = Signature(2, 2, 3, "uint8", ("a",), {"steps": steps})
    array = run_recipe(Image.new("RGB", (8, 8), (1, 2, 255)), signature)
    assert array.dtype == np.uint8 and array.shape == (1, 2, 2, 3)
    assert array[0, 0, 0].tolist() == [1, 2, 255]


def test_memory_is_held_until_the_recipe_has_run(fashion: Signature, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image that could not be made small is still there, in every thread that has one."""
    budget = MemoryBudget(1_000_000, patience_s=0.01)

    def run(image: Image.Image, signature: Signature) -> Images:
        with pytest.raises(TimeoutError), budget.reserve(1_000_000):
            pass
        return run_recipe(image, signature)

    monkeypatch.setattr("model.preprocessing.recipe.run_recipe", run)
    assert preprocess(encoded(), fashion, Limits(), budget).shape == (1, 28, 28, 1)
    with budget.reserve(1_000_000):
        pass


@pytest.mark.parametrize("resampling", ["bilinear", "bicubic"])
def test_a_crop_resizes_as_its_recipe_says(resampling: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    crop = {"op": "crop", "width": 20, "height": 20, "share": 0.5, "resampling": resampling}
    scale = {"op": "scale", "factor": 1.0, "offset": 0.0}
    photo = Image.fromarray(pixels)
    made = run_recipe(photo, Signature(20, 20, 3, "float32", ("a", "b"), {"steps": [{"op": "rgb"}, crop, scale]}))
    middle = photo.resize((20, 20), Image.Resampling[resampling.upper()], (16, 16, 48, 48))
    np.testing.assert_array_equal(made[0], np.asarray(middle))
