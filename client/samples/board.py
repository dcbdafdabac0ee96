"""The paper on which the samples are drawn: pieces of cloth, seams, buttons, and the curves of outlines."""

from __future__ import annotations

import random
from collections.abc import Sequence

from PIL import Image, ImageChops, ImageDraw, ImageFilter

Point = tuple[float, float]
Colour = tuple[int, int, int]

SIDE = 480
"""Pixels of a finished image's edge. Drawings are made twice as large, on a grid of 100 x 100."""

_SCALE = 2 * SIDE / 100
PAPER: Colour = (244, 243, 240)


class Board:
    """A sheet of paper to draw on. All lengths are in grid units; y points down."""

    def __init__(self, seed: int) -> None:
        self.image = Image.new("RGB", (2 * SIDE, 2 * SIDE), PAPER)
        self.cover = Image.new("L", self.image.size)
        self._random = random.Random(seed)  # nosec B311  # not used for secrets

    def cloth(self, outline: Sequence[Point], colour: Colour, weave: float = 0.12, fold: float = 0.25) -> None:
        """Draw a piece of cloth. `weave` is its roughness, `fold` how much darker its sides are than its middle."""
        mask = self._mask(outline)
        box = mask.getbbox()
        if box is None:
            return
        light = ImageChops.multiply(self._noise(weave), self._round(box, fold))
        piece = ImageChops.multiply(Image.new("RGB", self.image.size, colour), Image.merge("RGB", [light] * 3))
        self.image.paste(piece, mask=mask)
        self.cover.paste(255, mask=mask)

    def hole(self, outline: Sequence[Point]) -> None:
        """Cut a hole, which shows the paper."""
        mask = self._mask(outline)
        self.image.paste(PAPER, mask=mask)
        self.cover.paste(0, mask=mask)

    def line(self, points: Sequence[Point], colour: Colour, width: float = 0.6) -> None:
        """Draw a seam or a lace, only where there is cloth."""
        mask = Image.new("L", self.image.size)
        ImageDraw.Draw(mask).line(_pixels(points), 255, max(1, round(width * _SCALE)), joint="curve")
        self.image.paste(colour, mask=ImageChops.multiply(mask, self.cover))

    def dot(self, centre: Point, radius: float, colour: Colour) -> None:
        """Draw a button or an eyelet."""
        (x, y), r = _pixels([centre])[0], radius * _SCALE
        ImageDraw.Draw(self.image).ellipse((x - r, y - r, x + r, y + r), colour)

    def strap(self, points: Sequence[Point], colour: Colour, width: float) -> None:
        """Draw a band on the paper, outside of the cloth."""
        mask = Image.new("L", self.image.size)
        ImageDraw.Draw(mask).line(_pixels(points), 255, round(width * _SCALE), joint="curve")
        self.image.paste(colour, mask=mask)
        self.cover.paste(255, mask=mask)

    def finished(self) -> Image.Image:
        """Return the image at its final size in RGBA; the paper is transparent."""
        return Image.merge("RGBA", [*self.image.split(), self.cover]).resize((SIDE, SIDE), Image.Resampling.LANCZOS)

    def _mask(self, outline: Sequence[Point]) -> Image.Image:
        mask = Image.new("L", self.image.size)
        ImageDraw.Draw(mask).polygon(_pixels(outline), 255)
        return mask

    def _noise(self, strength: float) -> Image.Image:
        """Return grey clouds. Finer noise would vanish in a smaller image and enlarge the files."""
        edge = 60
        clouds = Image.frombytes("L", (edge, edge), self._random.randbytes(edge * edge))
        clouds = clouds.filter(ImageFilter.GaussianBlur(0.8)).resize(self.image.size, Image.Resampling.BICUBIC)
        return clouds.point([round(255 * (1 - strength * (255 - v) / 255)) for v in range(256)])

    def _round(self, box: tuple[int, int, int, int], depth: float) -> Image.Image:
        """Return light that decreases to the left and right of a box, as on a round body."""
        left, _, right, _ = box
        width = max(1, right - left)
        row = bytes(
            round(255 * (1 - depth * abs(2 * min(max((x - left) / width, 0.0), 1.0) - 1) ** 2))
            for x in range(self.image.width)
        )
        return Image.frombytes("L", (self.image.width, 1), row).resize(self.image.size)


def _pixels(points: Sequence[Point]) -> list[Point]:
    return [(x * _SCALE, y * _SCALE) for x, y in points]


def both(half: Sequence[Point]) -> list[Point]:
    """Return a right half, given from the top to the bottom of the middle, with its mirror image."""
    return [*half, *((100 - x, y) for x, y in reversed(half))]


def curve(points: Sequence[Point], steps: int = 12) -> list[Point]:
    """Return a smooth closed line through the points.

    Catmull and Rom, "A class of local interpolating splines", 1974.
    """
    count = len(points)
    smooth = []
    for i in range(count):
        a, b, c, d = (points[(i + k - 1) % count] for k in range(4))
        for step in range(steps):
            t = step / steps
            smooth.append((_spline(a[0], b[0], c[0], d[0], t), _spline(a[1], b[1], c[1], d[1], t)))
    return smooth


def _spline(a: float, b: float, c: float, d: float, t: float) -> float:
    return b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
