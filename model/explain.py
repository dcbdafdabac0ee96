"""Explanations: a heat map, as a small PNG, of the parts of an image that decided its label. NumPy and Pillow only.

The heat map shows the model's class activation maps where it has them. Otherwise it shows how much the score falls when
parts of the image are covered (Zeiler, Fergus, "Visualizing and Understanding Convolutional Networks", 2014).
"""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from model.engines.base import Engine, Images
from model.labels import Explanation

# Evidence of each part for a label: float32 [rows, columns], without a unit; negative values are evidence against it.
Heat = npt.NDArray[np.float32]

# Bytes of the PNG. As base64 it takes 20 kB of the response.
MAX_PNG_BYTES = 15_000

# Rows and columns of the occlusion grid.
_GRID = 8

# Longest edges to try, in pixels, until the PNG is small enough.
_SIZES = 224, 160, 112, 80, 56

# Colours of the PNG's palette.
_COLOURS = 64

# Covered copies of the image that are scored in one call.
_BATCH = 8


def explain(engine: Engine, prepared: Images, label: int) -> Explanation:
    """Explain the score of one label for one prepared image [1, height, width, channels]."""
    activations = engine.activations(prepared)
    if activations is None:
        heat, method = _occlusion(engine, prepared, label), "occlusion"
    else:
        heat, method = activations[0, :, :, label], "class_activation"
    return Explanation(engine.signature.labels[label], method, draw(prepared[0], heat))


def draw(image: Images, heat: Heat) -> bytes:
    """A PNG of at most MAX_PNG_BYTES: the prepared image [height, width, channels] in grey, overlaid with red heat."""
    grey = image.astype(np.float32).mean(axis=2)
    low, high = float(grey.min()), float(grey.max())
    seen = Image.fromarray(np.uint8(np.rint(200 * (grey - low) / ((high - low) or 1.0))))
    warm = np.maximum(heat, 0.0)
    warmth = Image.fromarray(np.uint8(np.rint(255 * warm / (float(warm.max()) or 1.0))))
    for size in _SIZES:
        png = _overlay(seen, warmth, size)
        if len(png) <= MAX_PNG_BYTES:
            return png
    raise ValueError(f"the PNG of an explanation takes more than {MAX_PNG_BYTES:,} bytes")


def _overlay(seen: Image.Image, warmth: Image.Image, size: int) -> bytes:
    """Blend image and heat, `size` pixels on the longer edge: no heat stays grey, full heat is red and yellow."""
    factor = size / max(seen.size)
    edges = max(1, round(seen.width * factor)), max(1, round(seen.height * factor))
    grey = np.asarray(seen.resize(edges, Image.Resampling.BILINEAR), np.float32)
    heat = np.asarray(warmth.resize(edges, Image.Resampling.BICUBIC), np.float32) / 255
    hot = np.stack([np.full_like(heat, 255), np.clip(480 * heat - 240, 0, 220), np.zeros_like(heat)], axis=2)
    share = (0.75 * heat)[:, :, np.newaxis]
    mixed = Image.fromarray(np.uint8(grey[:, :, np.newaxis] * (1 - share) + hot * share))
    file = io.BytesIO()
    mixed.quantize(_COLOURS, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue()


def _occlusion(engine: Engine, prepared: Images, label: int) -> Heat:
    """How much the score falls when a part is covered with the image's mean; neighbouring parts overlap by half."""
    _, height, width, _ = prepared.shape
    rows, columns = (np.linspace(0, edge, _GRID + 1).astype(int) for edge in (height, width))
    cells = [(row, column) for row in range(_GRID - 1) for column in range(_GRID - 1)]
    mean = prepared.mean(axis=(1, 2), keepdims=True).astype(prepared.dtype)
    whole = float(engine.score(prepared)[0, label])
    heat, covers = (np.zeros((_GRID, _GRID), np.float32) for _ in range(2))
    for start in range(0, len(cells), _BATCH):
        part = cells[start : start + _BATCH]
        covered = np.repeat(prepared, len(part), axis=0)
        for image, (row, column) in zip(covered, part, strict=True):
            image[rows[row] : rows[row + 2], columns[column] : columns[column + 2]] = mean[0]
        for (row, column), score in zip(part, engine.score(covered)[:, label], strict=True):
            heat[row : row + 2, column : column + 2] += whole - float(score)
            covers[row : row + 2, column : column + 2] += 1
    return heat / covers
