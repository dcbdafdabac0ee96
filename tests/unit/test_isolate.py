"""Isolation of a garment in a photo: by colour, in one piece, without holes, in bounded time for any image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageDraw

from model.preprocessing.connected_components import Mask, connected_components
from model.preprocessing.foreground import isolate, object_mask


def flooded(mask: Mask) -> list[set[tuple[int, int]]]:
    """The connected components, found by flood fill."""
    left = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    found = []
    while left:
        piece, todo = set(), [left.pop()]
        while todo:
            y, x = todo.pop()
            piece.add((y, x))
            near = {(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)} & left
            left -= near
            todo += near
        found.append(piece)
    return found


@settings(max_examples=200)
@given(arrays.arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_connected_components_equal_those_of_a_flood_fill(mask: Mask) -> None:
    labels = connected_components(mask)
    assert ((labels > 0) == mask).all()
    by_label = [{(int(y), int(x)) for y, x in np.argwhere(labels == label)} for label in np.unique(labels[mask])]
    assert sorted(map(sorted, by_label)) == sorted(map(sorted, flooded(mask)))


def drawn(background: str, garment: str) -> Image.Image:
    image = Image.new("RGB", (96, 96), background)
    ImageDraw.Draw(image).rectangle((30, 20, 65, 75), fill=garment)
    return image


@pytest.mark.parametrize(
    ("background", "garment"),
    [("white", "black"), ("black", "white"), ("#808080", "#e00000"), ("#d02020", "#3060a0"), ("#eeeeee", "#fafafa")],
)
def test_the_garment_is_found_by_its_colour(background: str, garment: str) -> None:
    mask = object_mask(drawn(background, garment))
    rows, columns = np.nonzero(mask)
    assert abs(int(rows.min()) - 20) <= 2 and abs(int(rows.max()) - 75) <= 2
    assert abs(int(columns.min()) - 30) <= 2 and abs(int(columns.max()) - 65) <= 2
    assert mask[20:76, 30:66].mean() > 0.9


def test_holes_are_filled_and_specks_are_left_out() -> None:
    image = drawn("white", "navy")
    pen = ImageDraw.Draw(image)
    pen.ellipse((40, 35, 56, 55), fill="white")  # a print in the background's colour
    pen.rectangle((5, 85, 9, 89), fill="navy")  # something next to it
    mask = object_mask(image)
    assert mask[45, 48] and not mask[87, 7]


def test_uneven_lighting_is_not_a_garment() -> None:
    floor = np.linspace(120, 220, 96)[:, None, None] * np.array([1.0, 0.9, 0.8]) * np.ones((96, 96, 1))
    floor[30:70, 25:60] = 60, 90, 160
    floor[70:96, 40:50] = 60, 90, 160  # reaches the border
    mask = object_mask(Image.fromarray(floor.astype(np.uint8)))
    expected = np.zeros((96, 96), np.bool_)
    expected[30:70, 25:60] = expected[70:96, 40:50] = True
    assert (mask != expected).mean() < 0.02


def test_a_pair_is_kept_and_a_bigger_thing_at_the_edge_is_not() -> None:
    image = Image.new("RGB", (96, 96), "white")
    pen = ImageDraw.Draw(image)
    pen.rectangle((25, 30, 42, 65), fill="brown")
    pen.rectangle((52, 30, 69, 65), fill="brown")
    pen.rectangle((0, 84, 70, 95), fill="brown")
    mask = object_mask(image)
    assert mask[50, 33] and mask[50, 60] and not mask[90, 30]


def test_the_object_is_grey_around_its_level() -> None:
    values = np.asarray(isolate(drawn("white", "#333333"), 115, 0.9))
    assert values.dtype == np.uint8
    assert values[0, 0] == 0 and values[50, 50] == 115


def test_nothing_is_found_on_an_empty_image() -> None:
    assert isolate(Image.new("RGB", (96, 64), "beige"), 115, 0.9).getextrema() == (0, 0)


@pytest.mark.parametrize("size", [(1, 1), (96, 1), (1, 96), (2, 96), (96, 96)])
def test_any_image_is_isolated_without_an_error(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(7).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    image = isolate(Image.fromarray(noise), 115, 0.9)
    assert image.size == size and image.mode == "L"
