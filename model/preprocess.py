"""A model's own recipe: from decoded pixels to the array that its signature asks for. Training and serving both run it.

A recipe is data (signature.json, "preprocessing"): `decode_size` for the decoder, and `steps`, each an `op` of the
table below with its parameters. Steps work on Pillow images; `scale`, always the last, makes the array.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from model.engine import Images, Signature
from model.images import Limits, decode_image
from model.isolate import isolate

_Step = Mapping[str, Any]


def preprocess(data: bytes, signature: Signature, limits: Limits | None = None) -> Images:
    """Decode one image file and run the recipe: the signature's dtype, [1, height, width, channels].

    Raises InvalidImage (or ImageTooLarge, UnsupportedFormat) for what is wrong with the file.
    """
    recipe = signature.preprocessing
    image = decode_image(data, limits or Limits(), recipe.get("decode_size"))
    return run_recipe(image, signature)


def run_recipe(image: Image.Image, signature: Signature) -> Images:
    """Run the recipe on an upright, opaque image (L or RGB): the signature's dtype, [1, height, width, channels]."""
    *steps, scale = signature.preprocessing["steps"]
    pixels = np.asarray(_run(image, steps), dtype=np.float32)
    pixels = pixels.reshape(1, signature.height, signature.width, signature.channels)
    pixels = pixels * np.float32(scale["factor"]) + np.float32(scale["offset"])
    return pixels.astype(signature.dtype, copy=False)


def check_recipe(signature: Signature) -> None:
    """Raise ValueError, naming the step, when the recipe cannot be run."""
    steps = signature.preprocessing.get("steps")
    if not isinstance(steps, Sequence) or not steps:
        raise ValueError("preprocessing.steps is missing or empty")
    if steps[-1].get("op") != "scale" or not {"factor", "offset"} <= set(steps[-1]):
        raise ValueError("preprocessing.steps must end with scale, its factor and its offset")
    probe = Image.new("RGB", (2 * signature.width + 1, signature.height + 3), "white")
    try:
        run_recipe(probe, signature)
    except KeyError as exc:
        raise ValueError(
            f"preprocessing.steps names an op or lacks a parameter: {exc}; ops are {sorted(_OPS)}"
        ) from exc
    except (TypeError, ValueError) as exc:
        raise ValueError(f"preprocessing.steps cannot be run: {exc}") from exc


def _run(image: Image.Image, steps: Sequence[_Step]) -> Image.Image:
    for step in steps:
        image = _OPS[step["op"]](image, step)
    return image


def _unless_size(image: Image.Image, step: _Step) -> Image.Image:
    """An image of exactly this size is taken for one of the dataset's own and passes unchanged."""
    return image if image.size == (step["width"], step["height"]) else _run(image, step["steps"])


def _isolate(image: Image.Image, step: _Step) -> Image.Image:
    """Make the background black and what stands on it light."""
    return isolate(image, step["level"], step["gain"])


def _trim(image: Image.Image, step: _Step) -> Image.Image:
    """Cut away the border in which nothing is lighter than the threshold."""
    threshold = step["threshold"]
    box = image.point([255 if value > threshold else 0 for value in range(256)]).getbbox()
    return image.crop(box) if box else image


def _fit(image: Image.Image, step: _Step) -> Image.Image:
    """Resize so that the longest edge has `size` pixels."""
    size = step["size"]
    factor = size / max(image.size)
    width, height = (max(1, round(edge * factor)) for edge in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)


def _resize(image: Image.Image, step: _Step) -> Image.Image:
    """Resize to width x height, whatever the proportions."""
    resampling = Image.Resampling[step.get("resampling", "bilinear").upper()]
    return image.resize((step["width"], step["height"]), resampling, reducing_gap=2.0)


def _sharpen(image: Image.Image, step: _Step) -> Image.Image:
    return image.filter(ImageFilter.UnsharpMask(step.get("radius", 1.0), step.get("percent", 50), 0))


def _centre(image: Image.Image, step: _Step) -> Image.Image:
    """Set the image in the middle of a black canvas."""
    canvas = Image.new(image.mode, (step["width"], step["height"]))
    canvas.paste(image, ((canvas.width - image.width) // 2, (canvas.height - image.height) // 2))
    return canvas


_OPS: dict[str, Callable[[Image.Image, _Step], Image.Image]] = {
    "grayscale": lambda image, step: image.convert("L"),
    "rgb": lambda image, step: image.convert("RGB"),
    "unless_size": _unless_size,
    "isolate": _isolate,
    "trim": _trim,
    "fit": _fit,
    "resize": _resize,
    "sharpen": _sharpen,
    "centre": _centre,
}
