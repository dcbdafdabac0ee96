"""Explanations: the decisive part is found with and without activation maps, and the PNG stays small."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from model.engines.base import Activations, Engine, Features, Images, Scores, Signature
from model.explain import MAX_PNG_BYTES, draw, explain

SIGNATURE = Signature(32, 32, 1, "float32", ("other", "bright corner"), {})


class CornerEngine:
    """Believes in its second label by how bright the upper left quarter is."""

    signature = SIGNATURE
    device = "CPU"

    def __init__(self, maps: bool) -> None:
        self.maps = maps
        self.scored = 0

    def score(self, images: Images, /) -> Scores:
        self.scored += len(images)
        light = images[:, :16, :16].mean(axis=(1, 2, 3))
        return np.stack([1 - light, light], axis=1)

    def activations(self, images: Images, /) -> Activations | None:
        if not self.maps:
            return None
        maps = np.zeros((len(images), 4, 4, 2), np.float32)
        maps[:, 0, 0, 1], maps[:, 3, 3, 0] = 5, 5
        return maps

    def features(self, images: Images, /) -> Features | None:
        return None

    def close(self) -> None:
        pass


def pixels_of(png: bytes) -> np.ndarray:
    assert len(png) <= MAX_PNG_BYTES
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def redness(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(pixels[:, :, 0] - pixels[:, :, 2])


@pytest.fixture
def image() -> Images:
    image = np.full((1, 32, 32, 1), 0.2, np.float32)
    image[0, 2:14, 2:14] = 1.0
    return image


@pytest.mark.parametrize(("maps", "method"), [(True, "class_activation"), (False, "occlusion")])
def test_the_part_that_decides_is_red(image: Images, maps: bool, method: str) -> None:
    engine: Engine = CornerEngine(maps)
    before = image.copy()
    why = explain(engine, image, 1)
    assert (why.label, why.method) == ("bright corner", method)
    red = redness(pixels_of(why.png))
    assert red[20:90, 20:90].mean() > 40
    assert abs(red[130:, 130:]).mean() < 4
    assert np.array_equal(image, before), "what is explained is not changed"


def test_each_label_has_its_own_map(image: Images) -> None:
    red = redness(pixels_of(explain(CornerEngine(True), image, 0).png))
    assert red[180:, 180:].mean() > 40 > red[:90, :90].mean()


def test_activation_maps_cost_no_scoring(image: Images) -> None:
    engine = CornerEngine(True)
    explain(engine, image, 1)
    assert engine.scored == 0


@pytest.mark.parametrize("shape", [(28, 28, 1), (224, 224, 3), (299, 100, 3), (1, 1, 1)])
@pytest.mark.parametrize("dtype", ["float32", "uint8", "int8"])
def test_the_largest_explanation_stays_small(shape: tuple[int, int, int], dtype: str) -> None:
    rng = np.random.default_rng(0)
    noise = (rng.random(shape) * 100).astype(dtype)
    pixels = pixels_of(draw(noise, rng.standard_normal((7, 7)).astype(np.float32)))
    assert max(pixels.shape) >= 56


@pytest.mark.parametrize("heat", [0.0, -1.0])
def test_an_image_without_evidence_for_the_label_stays_grey(heat: float) -> None:
    pixels = pixels_of(draw(np.zeros((28, 28, 1), np.float32), np.full((7, 7), heat, np.float32)))
    assert (redness(pixels) == 0).all()
