"""The preprocessing recipe of a model: turns decoded pixels into the array of its signature, in training and serving.

A recipe is data (signature.json, "preprocessing"): `decode_size` for the decoder, and `steps`, each an `op` of the
table below with its parameters. Steps work on Pillow images. `scale`, always the last step, makes the array: pixels
times `factor` plus `offset`, each one number or one per channel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from model.engines.base import Images, Signature
from model.images.decode import decoded
from model.images.limits import Limits
from model.images.memory_budget import MemoryBudget
from model.preprocessing.foreground import isolate
from model.preprocessing.framing import frame
from model.preprocessing.signature_schema import check_schema

_Step = Mapping[str, Any]


def preprocess(
    data: bytes, signature: Signature, limits: Limits | None = None, budget: MemoryBudget | None = None
) -> Images:
    """Decode one image file and run its recipe: returns the signature's dtype, [1, height, width, channels].

    `budget`: the memory budget that threads share for decoding; the recipe runs within it too.
    Raises InvalidImage (or ImageTooLarge, UnsupportedFormat) when the file cannot be used.
    """
    recipe = signature.preprocessing
    with decoded(data, limits or Limits(), recipe.get("decode_size"), budget or MemoryBudget(len(data))) as image:
        return run_recipe(image, signature)


def run_recipe(image: Image.Image, signature: Signature) -> Images:
    """Run the recipe on an upright, opaque image (L or RGB): the signature's dtype, [1, height, width, channels]."""
    *steps, scale = signature.preprocessing["steps"]
    bytes_ = np.asarray(_run(image, steps)).reshape(1, signature.height, signature.width, signature.channels)
    pixels: Images = bytes_ * np.asarray(scale["factor"], np.float32)
    pixels += np.asarray(scale["offset"], np.float32)
    if signature.dtype == "float32":
        return pixels
    whole = np.iinfo(signature.dtype)
    return np.rint(pixels).clip(whole.min, whole.max).astype(signature.dtype)


def check_recipe(signature: Signature) -> None:
    """Raise ValueError, which names the step, when the recipe is invalid or cannot be run."""
    check_schema(signature)
    exact = signature.width, signature.height
    for size in (exact, (2 * signature.width + 1, signature.height + 3)):
        try:
            run_recipe(Image.new("RGB", size, "white"), signature)
        except (TypeError, ValueError, OSError) as exc:
            shown = " x ".join(map(str, size))
            raise ValueError(f"preprocessing.steps cannot be run on an image of {shown} pixels: {exc}") from exc


def _run(image: Image.Image, steps: Sequence[_Step]) -> Image.Image:
    for step in steps:
        image = _OPS[step["op"]](image, step)
    return image


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)  # convert() copies even without a change


def _unless_size(image: Image.Image, step: _Step) -> Image.Image:
    """Run the inner steps, unless the image has exactly this size and so counts as one of the dataset's own."""
    return image if image.size == (step["width"], step["height"]) else _run(image, step["steps"])


def _isolate(image: Image.Image, step: _Step) -> Image.Image:
    """Make the background black and the object light."""
    return isolate(image, step["level"], step["gain"])


def _trim(image: Image.Image, step: _Step) -> Image.Image:
    """Crop the border in which no pixel is brighter than the threshold."""
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
    """Resize to width x height, without keeping the proportions."""
    return image.resize((step["width"], step["height"]), _resampling(step), reducing_gap=2.0)


def _crop(image: Image.Image, step: _Step) -> Image.Image:
    """Resize the largest centred box with the proportions of width x height, scaled by `share`, to width x height.

    Resizing first and cropping afterwards would need an enormous image when the proportions are extreme.
    """
    width, height = step["width"], step["height"]
    factor = step["share"] * min(image.width / width, image.height / height)
    across, down = factor * width, factor * height
    left, top = (image.width - across) / 2, (image.height - down) / 2
    box = (left, top, left + across, top + down)
    return image.resize((width, height), _resampling(step), box, reducing_gap=2.0)


def _resampling(step: _Step) -> Image.Resampling:
    return Image.Resampling[step.get("resampling", "bilinear").upper()]


def _bgr(image: Image.Image, step: _Step) -> Image.Image:
    """Reorder the channels to blue, green, red, as networks trained with Caffe expect."""
    return Image.merge("RGB", image.convert("RGB").split()[::-1])


def _sharpen(image: Image.Image, step: _Step) -> Image.Image:
    return image.filter(ImageFilter.UnsharpMask(step.get("radius", 1.0), step.get("percent", 50), 0))


def _centre(image: Image.Image, step: _Step) -> Image.Image:
    """Paste the image into the middle of a black canvas."""
    canvas = Image.new(image.mode, (step["width"], step["height"]))
    canvas.paste(image, ((canvas.width - image.width) // 2, (canvas.height - image.height) // 2))
    return canvas


_OPS: dict[str, Callable[[Image.Image, _Step], Image.Image]] = {
    "grayscale": lambda image, step: _in_mode(image, "L"),
    "rgb": lambda image, step: _in_mode(image, "RGB"),
    "unless_size": _unless_size,
    "isolate": _isolate,
    "trim": _trim,
    "fit": _fit,
    "resize": _resize,
    "crop": _crop,
    "frame": frame,
    "bgr": _bgr,
    "sharpen": _sharpen,
    "centre": _centre,
}
