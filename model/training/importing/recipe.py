"""Recipes for networks that take whole photos: which part of a picture, at which size, which numbers for colours.

The numbers are those of Keras' `imagenet_utils.preprocess_input`; a test compares them for every architecture.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from model.engines.base import Signature
from model.preprocessing.recipe import check_recipe
from model.training.errors import SourceError
from model.training.importing.unpacking import parse_json, read_small

_TORCH_MEAN, _TORCH_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

PIXELS: dict[str, tuple[Any, Any]] = {
    "raw": (1.0, 0.0),
    "unit": (1 / 255, 0.0),
    "tf": (1 / 127.5, -1.0),
    "torch": (
        [1 / (255 * std) for std in _TORCH_STD],
        [-mean / std for mean, std in zip(_TORCH_MEAN, _TORCH_STD, strict=True)],
    ),
    "caffe": ([1.0, 1.0, 1.0], [-103.939, -116.779, -123.68]),
}
"""Factor and offset of a pixel 0..255: as it is (networks that scale by themselves), 0..1, -1..1, by ImageNet's mean
and deviation, blue first less ImageNet's mean."""

FRAMINGS = "crop", "squash"
_SHARE = 0.875
"""What of the picture a crop keeps: networks for ImageNet are evaluated on 224 of 256 pixels."""


def recipe(
    pixels: str | tuple[float, float], height: int, width: int, channels: int = 3, framing: str = "crop"
) -> dict[str, Any]:
    """The recipe of a network for images of that size.

    `pixels`: a row of PIXELS, or a factor and an offset. `framing`: a crop keeps the proportions and loses the borders,
    a squash keeps everything and loses the proportions. Raises SourceError for three channels' numbers on one channel.
    """
    factor, offset = PIXELS[pixels] if isinstance(pixels, str) else pixels
    if channels == 1 and isinstance(factor, list):
        raise SourceError(f"the pixels are {pixels!r}, which is for three channels; the model takes one")
    size = {"width": width, "height": height}
    if framing == "crop":
        steps: list[dict[str, Any]] = [{"op": "crop", **size, "share": _SHARE}]
    else:
        steps = [{"op": "resize", **size, "resampling": "bilinear"}]
    steps.insert(0, {"op": "grayscale" if channels == 1 else "rgb"})
    if pixels == "caffe":
        steps.append({"op": "bgr"})
    # Twice what the crop needs: decoding a JPEG at a fraction of its size must not show.
    decode_size = 2 * round(max(height, width) / _SHARE)
    return {"decode_size": decode_size, "steps": [*steps, {"op": "scale", "factor": factor, "offset": offset}]}


def read_recipe(path: Path, signature: Signature) -> Signature:
    """The signature with the recipe of a JSON file. Raises SourceError when it cannot be run."""
    try:
        given = parse_json(read_small(path), f"the recipe {path}")
        if not isinstance(given, dict):
            raise ValueError("it must be an object with decode_size and steps")
        signature = replace(signature, preprocessing=given)
        check_recipe(signature)
    except OSError as exc:
        raise SourceError(f"the recipe {path} cannot be read: {exc.strerror}") from exc
    except ValueError as exc:
        raise SourceError(f"the recipe {path} cannot be used: {exc}") from exc
    return signature
