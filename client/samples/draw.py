"""Draws the samples: one garment for each class of Fashion-MNIST, like a shop's photograph, in several formats.

`python -m client.samples.draw FOLDER` writes the images and labels.csv. It is needed only when a drawing changes: its
output is committed in this folder.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from client.samples.board import PAPER, SIDE, Board, Colour, both, curve


def tee(board: Board) -> None:
    half = [(50, 13), (57, 11), (62, 5), (73, 9), (90, 27), (80, 37), (75, 31), (75, 60), (76, 95), (50, 96)]
    board.cloth(both(half), (70, 104, 150))
    board.line([(38, 5), (43, 11), (50, 13.5), (57, 11), (62, 5)], (44, 70, 108), 2)
    for side in (1, -1):
        board.line([(50 + side * 25, 10), (50 + side * 25, 31)], (48, 76, 116))
        board.line([(50 + side * 39, 25.5), (50 + side * 29, 35.5)], (48, 76, 116))
    board.line([(24, 92), (76, 92)], (48, 76, 116))


def trouser(board: Board) -> None:
    half = [(50, 4), (64, 4), (66, 18), (67, 40), (64, 70), (63, 97), (53.5, 97), (53, 60), (51, 30), (50, 27)]
    board.cloth(both(half), (52, 62, 92), fold=0.3)
    board.line([(34, 8.5), (66, 8.5)], (30, 36, 58), 0.8)
    board.line([(50, 8), (50, 27)], (30, 36, 58), 0.8)
    for side in (1, -1):
        board.line([(50 + side * 8, 9), (50 + side * 15.5, 17)], (30, 36, 58))
        board.line([(50 + side * 9, 28), (50 + side * 8.5, 96)], (78, 90, 122), 1)


def pullover(board: Board) -> None:
    body = [(50, 11), (58, 9), (63, 6), (74, 10), (80, 17), (78, 40), (77, 94), (50, 94)]
    sleeve = [(72, 9), (80, 15), (86, 35), (91, 64), (94, 90), (85, 92), (80, 66), (76, 40)]
    for piece in (sleeve, [(100 - x, y) for x, y in sleeve]):
        board.cloth(piece, (112, 84, 76), 0.25, 0.15)
    board.cloth(both(body), (118, 88, 80), 0.25, 0.12)
    board.line([(37, 6), (42, 9.5), (50, 12), (58, 9.5), (63, 6)], (84, 60, 54), 2.6)
    for x in range(25, 77, 3):
        board.line([(x, 88), (x, 94)], (84, 60, 54), 0.7)


def dress(board: Board) -> None:
    half = [(50, 20), (56, 17), (59, 4), (63, 4), (64, 18), (62, 30), (60, 42), (66, 66), (72, 96), (50, 97)]
    board.cloth(both(half), (150, 58, 84), fold=0.35)
    board.line([(40, 42), (60, 42)], (96, 30, 52), 1.6)
    for x, foot in ((46, 41), (50, 50), (54, 59), (43, 33), (57, 67)):
        board.line([(x, 44), (foot, 95)], (112, 38, 62), 0.7)


def coat(board: Board) -> None:
    body = [(50, 9), (57, 4), (65, 7), (73, 12), (72, 40), (73, 97), (50, 97)]
    sleeve = [(68, 9), (75, 14), (81, 38), (84, 64), (85, 84), (76.5, 86), (74.5, 64), (70, 40)]
    wool, shade, front = (110, 100, 88), (55, 50, 44), (20, 20, 20)
    for piece in (sleeve, [(100 - x, y) for x, y in sleeve]):
        board.cloth(piece, wool, 0.2, 0.15)
    board.cloth(both(body), wool, 0.2, 0.2)
    for side in (1, -1):
        board.cloth([(50, 30), (50 + side * 6, 4), (50 + side * 13, 10), (50 + side * 13, 20)], shade, 0.1, 0)
        board.line([(50 + side * 22, 30), (50 + side * 24, 97)], shade, 1.6)
        board.line([(50 + side * 8, 70), (50 + side * 20, 66)], shade, 1.8)
    board.line([(50, 12), (50, 97)], front, 3.5)
    board.hole([(50, 60), (52, 97.5), (48, 97.5)])


def shirt(board: Board) -> None:
    body = [(50, 10), (57, 5), (64, 7), (75, 12), (74, 40), (75, 88), (66, 95), (50, 93)]
    sleeve = [(70, 9.5), (77, 14), (83, 36), (87, 64), (89, 86), (81, 88), (77, 64), (73, 38)]
    check: Colour = (40, 58, 52)
    for piece in (sleeve, [(100 - x, y) for x, y in sleeve]):
        board.cloth(piece, (128, 150, 138), 0.1, 0.1)
    board.cloth(both(body), (134, 156, 144), 0.1, 0.1)
    for x in range(14, 90, 8):
        board.line([(x, 4), (x, 96)], check, 2.2)
    for y in range(8, 96, 8):
        board.line([(8, y), (92, y)], check, 2.2)
    board.cloth([(47.5, 12), (52.5, 12), (52.5, 94), (47.5, 94)], (120, 142, 130), 0.05, 0)
    for y in range(18, 92, 11):
        board.dot((50, y), 1.0, (30, 40, 36))
    for side in (1, -1):
        board.cloth([(50, 14), (50 + side * 6, 4), (50 + side * 11, 8), (50 + side * 8, 18)], (96, 116, 106), 0.05, 0)


def sandal(board: Board) -> None:
    tan, dark = (128, 84, 50), (92, 58, 32)
    sole = [(3, 62), (10, 58.5), (30, 61), (52, 56), (72, 46), (92, 42), (97, 45), (95, 52), (74, 56)]
    board.cloth([*sole, (54, 65), (30, 68), (8, 66)], tan, 0.15, 0.1)
    board.cloth([(84, 50), (95, 50), (91, 68), (86, 68)], dark, 0.1, 0)
    for points in (
        [(10, 60), (17, 49), (26, 62)],
        [(22, 62), (30, 46), (40, 60)],
        [(30, 46), (48, 40), (60, 54)],
        [(48, 40), (70, 34), (90, 44)],
        [(70, 34), (78, 24), (93, 26), (95, 44)],
    ):
        board.strap(points, dark, 3.2)


def sneaker(board: Board) -> None:
    upper = [(4, 60), (10, 55), (26, 50), (44, 40), (56, 34), (66, 37), (78, 40), (90, 35), (95, 41), (96, 62)]
    board.cloth(curve([*upper, (50, 64), (8, 65)]), (96, 104, 116), 0.2, 0.1)
    board.cloth([(2, 62), (30, 63), (60, 62), (97, 60), (98, 69), (60, 71), (10, 71), (3, 68)], (54, 56, 62), 0.1, 0)
    board.line([(3, 64.5), (97, 63)], (206, 206, 204), 1.4)
    board.cloth([(40, 60), (58, 46), (72, 44), (60, 52), (50, 61)], (40, 44, 52), 0.05, 0)
    for step in range(5):
        x, y = 32 + 5 * step, 49 - 3.2 * step
        board.line([(x, y - 3), (x + 5, y + 5)], (220, 220, 216), 1.2)
    board.line([(8, 58), (22, 54), (30, 62)], (58, 64, 74), 0.8)
    board.line([(82, 38), (80, 60)], (58, 64, 74), 0.8)


def bag(board: Board) -> None:
    leather, dark = (124, 66, 44), (84, 42, 28)
    board.strap([(32, 42), (33, 24), (40, 13), (50, 10), (60, 13), (67, 24), (68, 42)], dark, 4)
    board.cloth([(12, 38), (88, 38), (94, 92), (6, 92)], leather, 0.15, 0.15)
    board.cloth([(12, 38), (88, 38), (89, 46), (11, 46)], dark, 0.1, 0)
    board.line([(9, 66), (91, 66)], dark, 0.7)
    board.cloth([(45, 44), (55, 44), (55, 56), (45, 56)], (60, 30, 20), 0.05, 0)
    for x in (31, 69):
        board.dot((x, 46), 2.2, (210, 186, 120))


def boot(board: Board) -> None:
    leather, dark = (92, 62, 40), (52, 34, 22)
    shaft = [(50, 10), (70, 8), (91, 10), (92, 40), (95, 66), (94, 78), (60, 80), (30, 82), (7, 82), (5, 74), (12, 64)]
    board.cloth([*shaft, (30, 57), (43, 50), (50, 38)], leather, 0.2, 0.15)
    board.cloth([(4, 79), (70, 78), (70, 84), (66, 88), (4, 87)], dark, 0.05, 0)
    board.cloth([(67, 78), (96, 77), (96, 92), (70, 92)], dark, 0.05, 0)
    board.cloth([(60, 12), (74, 12), (71, 44), (64, 44)], dark, 0.1, 0)
    board.line([(50, 14), (91, 14)], dark, 0.8)
    board.line([(28, 58), (36, 70), (60, 72), (94, 66)], dark, 0.8)


@dataclass(frozen=True, slots=True)
class Sample:
    """A drawing, its label and its file format: `clear` leaves the paper transparent, `colours` makes a palette."""

    file: str
    label: str
    draw: Callable[[Board], None]
    side: int = SIDE
    clear: bool = False
    colours: int = 0
    quality: int | None = None


SAMPLES = (
    Sample("t-shirt.png", "T-shirt/top", tee, colours=32),
    Sample("trouser.jpg", "Trouser", trouser, quality=80),
    Sample("pullover.webp", "Pullover", pullover, quality=70),
    Sample("dress.png", "Dress", dress, clear=True, colours=32),
    Sample("coat.tif", "Coat", coat, colours=16),
    Sample("sandal.gif", "Sandal", sandal, colours=16),
    Sample("shirt.avif", "Shirt", shirt, quality=60),
    Sample("sneaker.jpg", "Sneaker", sneaker, quality=80),
    Sample("bag.bmp", "Bag", bag, side=240, colours=64),
    Sample("ankle-boot.webp", "Ankle boot", boot, clear=True, quality=70),
)


def render(sample: Sample, seed: int) -> Image.Image:
    """Return one drawing in the mode of its file."""
    board = Board(seed)
    sample.draw(board)
    image = board.finished()
    if sample.side != SIDE:
        image = image.resize((sample.side, sample.side), Image.Resampling.LANCZOS)
    if not sample.clear:
        paper = Image.new("RGBA", image.size, PAPER)
        image = Image.alpha_composite(paper, image).convert("RGB")
    return image.quantize(sample.colours, dither=Image.Dither.NONE) if sample.colours else image


def main(folder: Path) -> None:
    """Write every sample and labels.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, sample in enumerate(SAMPLES, 1):
        options: dict[str, Any] = {"optimize": sample.file.endswith((".png", ".jpg"))}
        if sample.quality is not None:
            options["quality"] = sample.quality
        if sample.file.endswith(".tif"):
            options["compression"] = "tiff_lzw"
        render(sample, seed).save(folder / sample.file, **options)
    lines = ["file,label", *(f"{sample.file},{sample.label}" for sample in SAMPLES)]
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
