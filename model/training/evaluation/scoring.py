"""Scores labelled image files with the decoder, recipe and engine of the worker. Unreadable files are skipped."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from model.engines.base import Engine, Images, Scores
from model.errors import InvalidImage
from model.metrics import Mask
from model.preprocessing.recipe import preprocess
from model.training.data.labelled import LabelledImage
from model.training.errors import DatasetError

# Images of one call of the engine.
BATCH = 32

# Images whose latency is measured.
_TIMED = 100

# Longest edge, in pixels, of the small images for the baselines.
_SIDE = 28


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that could not be read, and the reason."""

    file: str
    reason: str


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores of `items`. Row i of every array belongs to items[i]: scores [N, labels], correct labels [N, labels],
    small grey pixels [N, n].

    Rates are images per second in batches of 32, from file bytes and from preprocessed images; `latencies` are
    milliseconds from file bytes to scores, one image at a time.
    """

    items: Sequence[LabelledImage]
    skipped: Sequence[Skipped]
    scores: Scores
    right: Mask
    pixels: npt.NDArray[np.float32]
    rate: float
    scoring_rate: float
    latencies: npt.NDArray[np.float64]


def score_images(engine: Engine, items: Sequence[LabelledImage]) -> Scored:
    """Score all images. Raises DatasetError when none can be read."""
    kept: list[LabelledImage] = []
    skipped: list[Skipped] = []
    waiting: list[Images] = []
    scores: list[Scores] = []
    pixels: list[npt.NDArray[np.float32]] = []
    preparing = scoring = 0.0

    def flush() -> None:
        nonlocal scoring
        if waiting:
            began = time.perf_counter()
            scores.append(engine.score(np.concatenate(waiting)))
            scoring += time.perf_counter() - began
            waiting.clear()

    for item in items:
        try:
            data = item.read()
            began = time.perf_counter()
            prepared = preprocess(data, engine.signature)
            preparing += time.perf_counter() - began
        except InvalidImage as exc:
            skipped.append(Skipped(item.name, str(exc)))
            continue
        except OSError as exc:
            skipped.append(Skipped(item.name, f"it cannot be read: {(exc.strerror or 'unknown reason').lower()}"))
            continue
        kept.append(item)
        waiting.append(prepared)
        pixels.append(_small(prepared))
        if len(waiting) == BATCH:
            flush()
    flush()
    if not kept:
        first = skipped[0]
        raise DatasetError(f"none of the {len(skipped)} images can be used; the first, {first.file!r}: {first.reason}")
    right = np.zeros((len(kept), len(engine.signature.labels)), np.bool_)
    for row, item in zip(right, kept, strict=True):
        row[list(item.right)] = True
    return Scored(
        kept,
        skipped,
        np.concatenate(scores),
        right,
        np.stack(pixels),
        len(kept) / (preparing + scoring),
        len(kept) / scoring,
        _latencies(engine, kept),
    )


def _latencies(engine: Engine, items: Sequence[LabelledImage]) -> npt.NDArray[np.float64]:
    found = []
    for item in items[:_TIMED]:
        data = item.read()
        began = time.perf_counter()
        engine.score(preprocess(data, engine.signature))
        found.append(1000 * (time.perf_counter() - began))
    return np.array(found)


def _small(prepared: Images) -> npt.NDArray[np.float32]:
    """A preprocessed image, reduced to at most 28x28 grey values, as a vector."""
    gray = Image.fromarray(prepared[0].astype(np.float32).mean(axis=2))
    gray.thumbnail((_SIDE, _SIDE), Image.Resampling.BOX)
    return np.asarray(gray, np.float32).ravel()
