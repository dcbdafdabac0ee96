"""Recipes that resize, crop and normalise an image exactly as the library of the network does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# A preprocessing recipe, as in signature.json.
Recipe = Mapping[str, Any]

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's red, green and blue, as shares of 255."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The parameters of the step `frame` (see model.preprocessing.framing). `height` and `width` are those of the
    result, `resize` those of the box that the image is resized for, as (height, width)."""

    height: int
    width: int
    fit: str
    resize: tuple[int, int]
    resampling: str
    rounding: str = "down"
    colour: tuple[int, ...] = ()

    def to_step(self) -> dict[str, Any]:
        """The step of the recipe."""
        height, width = self.resize
        step = {"op": "frame", "width": self.width, "height": self.height, "fit": self.fit}
        step |= {"resize_width": width, "resize_height": height}
        step |= {"resampling": self.resampling, "rounding": self.rounding}
        return step | ({"colour": list(self.colour)} if self.colour else {})


def exact_recipe(frame: Frame, factor: Any, offset: Any, *, bgr: bool = False) -> Recipe:
    """The recipe of a network of three channels. `factor`, `offset`: those of a pixel 0..255, one number or three.

    Images are decoded at twice the size that they are resized to, or more: a decoder at reduced size is faster and
    hardly changes the result.
    """
    steps = [{"op": "rgb"}, frame.to_step(), *([{"op": "bgr"}] if bgr else [])]
    scale = {"op": "scale", "factor": factor, "offset": offset}
    return {"decode_size": 2 * max(frame.resize), "steps": [*steps, scale]}


def normalised(
    mean: Sequence[float], std: Sequence[float], factor: float = 1 / 255, offset: float = 0.0
) -> tuple[list[float], list[float]]:
    """Factor and offset of pixels that are multiplied by `factor`, moved by `offset`, and then normalised."""
    return [factor / each for each in std], [(offset - middle) / each for middle, each in zip(mean, std, strict=True)]


def size_of(recipe: Recipe) -> tuple[int, int]:
    """Height and width of the images that an exact recipe makes."""
    frame = next(step for step in recipe["steps"] if step["op"] == "frame")
    return frame["height"], frame["width"]
