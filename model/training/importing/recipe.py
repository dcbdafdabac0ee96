"""Recipes for imported networks: how an image is fitted to the input size, and how its pixels are scaled.

The scalings are those of Keras' `imagenet_utils.preprocess_input`; a test compares them for every architecture.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from model.engines.base import Signature
from model.preprocessing.recipe import check_recipe
from model.text import decode_text
from model.training.errors import SourceError
from model.training.importing import torchvision_presets
from model.training.importing.exact_recipe import IMAGENET_MEAN, IMAGENET_STD
from model.training.importing.unpacking import parse_json, read_small

# Factor and offset of a pixel 0..255: unchanged (for networks that scale it themselves), to 0..1, to -1..1, by
# ImageNet's mean and deviation, (for blue, green, red) less ImageNet's mean, and as the library of Teachable Machine
# does (`capture` of @teachablemachine/image 0.8.5, which divides by 127).
PIXELS: dict[str, tuple[Any, Any]] = {
    "raw": (1.0, 0.0),
    "unit": (1 / 255, 0.0),
    "tf": (1 / 127.5, -1.0),
    "torch": (
        [1 / (255 * std) for std in IMAGENET_STD],
        [-mean / std for mean, std in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)],
    ),
    "teachable-machine": (1 / 127, -1.0),
    "caffe": ([1.0, 1.0, 1.0], [-103.939, -116.779, -123.68]),
}

FRAMINGS = "crop", "squash"

# Share of the shorter edge that a crop keeps: networks for ImageNet are evaluated on 224 of 256 pixels, those of
# Teachable Machine on all of it.
_SHARE, _SHARES = 0.875, {"teachable-machine": 1.0}


def scaling_of(pixels: str | tuple[Any, Any]) -> tuple[Any, Any]:
    """The factor and the offset of a scaling: a key of PIXELS, `torchvision:NAME`, or the two themselves.

    Raises SourceError for weights that torchvision does not have.
    """
    if not isinstance(pixels, str):
        return pixels
    return torchvision_presets.scaling_of(pixels) if is_preset(pixels) else PIXELS[pixels]


def is_preset(pixels: object) -> bool:
    """Whether the pixels are those of weights of torchvision."""
    return isinstance(pixels, str) and pixels.startswith(torchvision_presets.PREFIX)


def recipe(
    pixels: str | tuple[Any, Any], height: int, width: int, channels: int = 3, framing: str = "crop"
) -> dict[str, Any]:
    """The recipe of a network with this input size.

    `pixels`: see `scaling_of`; weights of torchvision have a framing of their own. `framing`: `crop` keeps the
    proportions and cuts the borders, `squash` keeps the whole image and changes the proportions. Raises SourceError for
    a scaling of three channels when the model has one, and for weights of torchvision that take other images.
    """
    if isinstance(pixels, str) and is_preset(pixels):
        if framing != "crop":
            raise SourceError(f"the framing is {framing!r}; {pixels} has a framing of its own: leave --framing out")
        return dict(torchvision_presets.recipe_of(pixels, height, width, channels))
    factor, offset = scaling_of(pixels)
    if channels == 1 and isinstance(factor, list):
        raise SourceError(f"the pixels are {pixels!r}, a scaling of three channels; the model takes one channel")
    size = {"width": width, "height": height}
    if framing == "crop":
        share = _SHARES.get(pixels, _SHARE) if isinstance(pixels, str) else _SHARE
        steps: list[dict[str, Any]] = [{"op": "crop", **size, "share": share}]
    else:
        steps = [{"op": "resize", **size, "resampling": "bilinear"}]
    steps.insert(0, {"op": "grayscale" if channels == 1 else "rgb"})
    if pixels == "caffe":
        steps.append({"op": "bgr"})
    # Twice what the crop needs, so that decoding a JPEG at reduced size does not affect the result.
    decode_size = 2 * round(max(height, width) / _SHARE)
    return {"decode_size": decode_size, "steps": [*steps, {"op": "scale", "factor": factor, "offset": offset}]}


def read_recipe(path: Path, signature: Signature) -> Signature:
    """The signature with the recipe of a JSON file. Raises SourceError when the recipe cannot be run."""
    try:
        given = parse_json(decode_text(read_small(path)), f"the recipe {path}")
        if not isinstance(given, dict):
            raise ValueError("it must be an object with decode_size and steps")
        signature = replace(signature, preprocessing=given)
        check_recipe(signature)
    except OSError as exc:
        raise SourceError(f"the recipe {path} cannot be read: {exc.strerror}") from exc
    except ValueError as exc:
        raise SourceError(f"the recipe {path} cannot be used: {exc}") from exc
    return signature
