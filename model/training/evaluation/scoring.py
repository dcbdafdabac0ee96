"""Scoring labelled images as they are served: file bytes, the recipe, an engine. What cannot be read is skipped."""

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
from model.training.data.labelled import Item
from model.training.errors import DatasetError

BATCH = 32
_TIMED = 100
_SIDE = 28


@dataclass(frozen=True, slots=True)
class Skipped:
    """An image that could not be read, and why."""

    file: str
    reason: str


@dataclass(frozen=True, slots=True)
class Scored:
    """Row i of every array belongs to items[i]: scores [N, labels], right labels [N, labels], small gray pixels [N, n].

    Rates are images per second in batches of 32, from file bytes and from prepared images; `latencies` are milliseconds
    from file bytes to scores, one image at a time.
    """

    items: Sequence[Item]
    skipped: Sequence[Skipped]
    scores: Scores
    right: Mask
    pixels: npt.NDArray[np.float32]
    rate: float
    scoring_rate: float
    latencies: npt.NDArray[np.float64]


def score_items(engine: Engine, items: Sequence[Item]) -> Scored:
    """Score all of them. Raises DatasetError when none can be read."""
    kept: list[Item] = []
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
            skipped.append(Skipped(item.name, f"it cannot be read: {(exc.strerror or 'no reason given').lower()}"))
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


def _latencies(engine: Engine, items: Sequence[Item]) -> npt.NDArray[np.float64]:
    found = []
    for item in items[:_TIMED]:
        data = item.read()
        began = time.perf_counter()
        engine.score(preprocess(data, engine.signature))
        found.append(1000 * (time.perf_counter() - began))
    return np.array(found)


def _small(prepared: Images) -> npt.NDArray[np.float32]:
    """A prepared image as at most 28x28 gray values, flat."""
    gray = Image.fromarray(prepared[0].astype(np.float32).mean(axis=2))
    gray.thumbnail((_SIDE, _SIDE), Image.Resampling.BOX)
    return np.asarray(gray, np.float32).ravel()
