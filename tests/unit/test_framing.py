"""The step `frame` of a recipe: which pixels it keeps, and how it resizes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from model.engines.base import Signature
from model.preprocessing.recipe import check_recipe, run_recipe


def framed(image: Image.Image, **step: Any) -> Any:
    """What the step makes of an image, 4 x 4 pixels unless the step says another size."""
    step = {"width": 4, "height": 4, "resize_width": 4, "resize_height": 4, "fit": "cover", **step}
    steps = [{"op": "rgb"}, {"op": "frame", **step}, {"op": "scale", "factor": 1.0, "offset": 0.0}]
    signature = Signature(step["height"], step["width"], 3, "uint8", ("a", "b"), {"steps": steps})
    check_recipe(signature)
    return run_recipe(image, signature)[0]


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8))


@pytest.mark.parametrize("resampling", ["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"])
@pytest.mark.parametrize("size", [(90, 60), (61, 97), (3, 40), (1, 1), (32, 32)])
def test_the_middle_is_that_of_the_whole_resized_image(size: tuple[int, int], resampling: str) -> None:
    image = noise(*size)
    made = framed(image, width=28, height=24, resize_width=32, resize_height=32, resampling=resampling)
    across, down = (int(32 * edge / min(size)) for edge in size)
    left, top = (across - 28) // 2, (down - 24) // 2
    whole = image.resize((across, down), Image.Resampling[resampling.upper()])
    np.testing.assert_array_equal(made, np.asarray(whole.crop((left, top, left + 28, top + 24))))


def test_an_image_of_extreme_proportions_is_not_resized_as_a_whole() -> None:
    """Which would take a gigabyte: a ramp keeps its colours in the middle."""
    ramp = Image.fromarray(np.linspace(0, 255, 60_000).astype(np.uint8)[None, :, None].repeat(3, 2))
    made = framed(ramp, width=224, height=224, resize_width=80, resize_height=80, fit="stretch", colour=9)
    assert (made[0] == 9).all() and made[112, 112, 0] in (128, 129, 130), "stretched"
    covered = framed(ramp, width=224, height=224, resize_width=256, resize_height=256)
    assert (covered == 127).all(), "the middle 0.9 of 60,000 pixels"


@pytest.mark.parametrize(
    ("size", "rounding", "first"), [(9, "down", 2), (9, "even", 2), (11, "down", 3), (11, "even", 4), (10, "even", 3)]
)
def test_half_a_pixel_is_rounded_as_the_recipe_says(size: int, rounding: str, first: int) -> None:
    row = np.arange(size, dtype=np.uint8)[None, :, None].repeat(size, 0).repeat(3, 2)
    made = framed(Image.fromarray(row), resize_width=size, resize_height=size, rounding=rounding)
    assert made[0, :, 0].tolist() == list(range(first, first + 4))


@pytest.mark.parametrize(("rounding", "above"), [("down", 2), ("even", 1)])
def test_a_letterbox_has_any_colour(rounding: str, above: int) -> None:
    made = framed(Image.new("RGB", (8, 2), "white"), fit="contain", colour=[1, 2, 3], rounding=rounding)
    assert (made[above] == 255).all() and (made[above + 1 :] == [1, 2, 3]).all() and (made[:above] == [1, 2, 3]).all()
    assert framed(Image.new("RGB", (4, 1)), fit="contain", colour=114).max() == 114


def test_a_box_that_is_not_square_is_covered_and_filled() -> None:
    wide = framed(noise(40, 10), width=8, height=4, resize_width=8, resize_height=4)
    np.testing.assert_array_equal(
        wide, np.asarray(noise(40, 10).resize((16, 4), Image.Resampling.BILINEAR).crop((4, 0, 12, 4)))
    )


@pytest.mark.parametrize(("resampling", "expected"), [("bilinear", [4, 12]), ("bicubic", [4, 12])])
def test_without_antialias_only_the_nearest_pixels_count(resampling: str, expected: list[int]) -> None:
    """A pixel between those that count has no weight; with antialias it has."""
    row = np.arange(17, dtype=np.uint8)[None, :, None].repeat(17, 0).repeat(3, 2)
    row[:, 8] = 255
    options = {"width": 2, "height": 2, "resize_width": 2, "resize_height": 2, "resampling": resampling}
    made = framed(Image.fromarray(row), **options, antialias=False)
    assert made[0, :, 0].tolist() == expected
    assert framed(Image.fromarray(row), **options)[0, :, 0].min() > 12


def test_a_step_that_cannot_be_run_is_refused() -> None:
    with pytest.raises(ValueError, match="resampling is 'lanczos'; without antialias it must be bilinear or bicubic"):
        framed(noise(9, 9), resampling="lanczos", antialias=False)
    for wrong, words in (
        ({"fit": "zoom"}, "fit is 'zoom'; it must be one of: cover, contain, stretch"),
        ({"colour": [0, 0, 256]}, r"colour is \[0, 0, 256\]; it must be a whole number from 0 to 255, or one for each"),
        ({"colour": [0, 0]}, r"preprocessing\.steps cannot be run .*: colour is \[0, 0\]; the image has 3 channels"),
        ({"rounding": "up"}, "rounding is 'up'; it must be one of: down, even"),
    ):
        with pytest.raises(ValueError, match=words):
            framed(noise(9, 5), **wrong)
