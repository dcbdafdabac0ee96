"""Decides how the pixels of an imported model are scaled, so that they are scaled once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from model.engines.base import Signature
from model.training.errors import SourceError
from model.training.export.parity import probes
from model.training.export.progress import say
from model.training.export.source import Source
from model.training.importing.recipe import PIXELS, recipe, scaling_of

# Largest share of the deviation of the scores of unscaled images at which scores hardly differ from image to image.
_EVEN = 0.05

# The range of the values that a network's first layer receives. Networks are trained on ranges from 1 (0..1) to about 5
# (normalised by the deviation), or on 255 and less (the pixels themselves). A smaller range is one that was scaled
# twice; a larger one was never trained on.
_SMALLEST, _USUAL, _LARGEST = 0.1, 16, 300

# Largest quotient of two similar ranges. Calibration finds almost the range of the pixels.
_SIMILAR = 1.5

# Largest distance of the beginnings of two similar ranges, as a share of the range.
_APART = 0.25


def pixels_of(source: Source, asked: str | None) -> str | tuple[Any, Any]:
    """The pixel scaling, see `recipe.scaling_of`.

    `asked`: the user's answer, a key of PIXELS or weights of torchvision. Raises SourceError when neither the file nor
    the user says it, and when the pixels would be scaled by the recipe and by the model.
    """
    if source.spec.dtype != "float32":
        if asked not in (None, "raw"):
            raise SourceError(f"the pixels are {asked!r}; {source.origin} takes {source.spec.dtype}: only raw")
        return (1.0, -128.0) if source.spec.dtype == "int8" else "raw"
    if _scales_itself(source):
        if isinstance(source.pixels, tuple) and not _is_raw(source.pixels):
            raise SourceError(
                f"{source.origin} asks for pixels {values_of(source.pixels)} and scales them itself, {_how(source)}: "
                "which of both its training did is not certain, so write a --recipe"
            )
        if asked not in (None, "raw"):
            raise SourceError(
                f"the pixels are {asked!r}; {source.origin} scales them itself, {_how(source)}, so they would be "
                "scaled twice: leave --pixels out, or write a --recipe"
            )
        return "raw"
    if asked and isinstance(source.pixels, tuple):
        _check_said(source, source.pixels, asked)
    pixels = asked or source.pixels
    if pixels is None:
        raise SourceError(
            f"{source.origin} does not say how its pixels were scaled in training; name it with --pixels "
            f"({', '.join(PIXELS)}, torchvision:NAME) or --recipe: with another scaling the model's predictions are "
            "wrong"
        )
    if isinstance(pixels, str) and not _SMALLEST <= (span := _span(source, scaling_of(pixels)[0])) <= _LARGEST:
        raise SourceError(
            f"the pixels are {pixels!r}; {source.origin} multiplies them by {source.ends.gain:.3g}, which gives a "
            f"range of {span:.3g}: name another scaling with --pixels, or write a --recipe"
        )
    return pixels


def values_of(pixels: tuple[Any, Any]) -> str:
    """The range of values that a factor and an offset make of pixels, in words."""
    factor, offset = (np.asarray(each, np.float64) for each in pixels)
    return f"from {offset.min():.3g} to {(255 * factor + offset).max():.3g}"


def _check_said(source: Source, own: tuple[Any, Any], asked: str) -> None:
    """Raise SourceError when the user names another range of pixels than the file, by quantisation or metadata."""
    (factor, offset), (wanted, begin) = own, scaling_of(asked)
    times = np.divide(wanted, factor)
    apart = np.abs(np.subtract(begin, offset)) / (255 * np.asarray(factor))
    if not (times > 1 / _SIMILAR).all() or not (times < _SIMILAR).all() or apart.max() > _APART:
        raise SourceError(
            f"the pixels are {asked!r}; {source.origin} is made for values {values_of(own)}: leave --pixels out"
        )


def warn_of_scaling(source: Source, signature: Signature) -> None:
    """Print a warning when the user's own recipe and the model both scale the pixels."""
    factor = np.asarray(signature.preprocessing["steps"][-1]["factor"])
    span = _span(source, factor)
    if source.ends.gain is not None and (span < _SMALLEST or (source.ends.is_centred and np.any(factor != 1))):
        say(
            f"warning: the recipe scales the pixels, and {source.origin} does so itself, {_how(source)}; its first "
            f"layer gets a range of {span:.3g}",
        )


def warn_of_even_scores(source: Source, signature: Signature) -> None:
    """Print a warning when the images' scores hardly differ, and do when the pixels are not scaled.

    A .tflite file may hold the model's own scaling in the weights of its first layer, where it cannot be read.
    """
    spec = source.spec
    if source.pixels is None and source.ends.gain is None and spec.dtype == "float32":  # the user has said the scaling
        raw = replace(signature, preprocessing=recipe("raw", spec.height, spec.width, spec.channels))
        with np.errstate(all="ignore"):  # scores of NaN are refused later
            spread, unscaled = (float(source.score(probes(each), each).std(axis=0).max()) for each in (signature, raw))
        if spread < _EVEN * unscaled:
            say(
                f"warning: with these pixels, {source.origin} gives almost the same scores to every image; with "
                "--pixels raw it does not. Does it scale its pixels itself?",
            )


def _is_raw(pixels: tuple[Any, Any]) -> bool:
    return all(np.allclose(each, unchanged, atol=0.01) for each, unchanged in zip(pixels, (1, 0), strict=True))


def _scales_itself(source: Source) -> bool:
    return source.ends.gain is not None and (source.ends.is_centred or _SMALLEST <= _span(source, 1.0) <= _USUAL)


def _how(source: Source) -> str:
    factor = f"{source.ends.gain:.3g}"
    return "by subtracting a mean" if factor == "1" else f"by {factor}"


def _span(source: Source, factor: object) -> float:
    """The range of the values of the model's first layer for pixels 0..255 and a recipe's factor."""
    gain = 1.0 if source.ends.gain is None else source.ends.gain
    return 255 * float(np.abs(np.asarray(factor, np.float64)).max()) * gain
