"""Golden images: what an artifact's engines scored when it was made, compared when one is loaded, before it serves.

golden.json holds two small image files with the scores of each engine. An artifact without it is older: images that are
drawn here must at least give scores. The comparison goes the whole way from a file's bytes to scores.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from model.artifact.manifest import GOLDEN, parse_json, read_text_file
from model.engines.base import Engine, Scores, Signature
from model.errors import ArtifactError
from model.preprocessing.recipe import preprocess

DIGITS = 4
"""Decimals of a score that is kept."""

TOLERANCE, LEAST = 0.1, 0.02
"""By how much a score may differ: a share of the image's highest, or this much where that is more. On other processors
quantised models round differently, by some steps of 1/256. A wrong recipe or a damaged file gives other scores.
"""

_SLACK = 1e-3
"""By how much a score may leave 0..1."""

_SUM_SLACK = 0.05
"""By how much the scores of an image may differ from a sum of 1, where they summed to 1 when the artifact was made."""

_LARGEST = 128
"""Pixels of an edge of a drawn image: small files, quick to score."""


def draw(signature: Signature) -> tuple[bytes, bytes]:
    """Two PNG files: one of the very size that the model takes, where that is small, and one like a photo."""
    exact = min(signature.width, _LARGEST), min(signature.height, _LARGEST)
    return _drawn(*exact), _drawn(_LARGEST + 32, _LARGEST)


def record(signature: Signature, engines: Mapping[str, Engine]) -> bytes:
    """The content of golden.json: drawn images, and what each engine makes of them."""
    images = [
        {
            "png": base64.b64encode(file).decode(),
            "scores": {
                name: np.round(_scores(engine, file).astype(np.float64), DIGITS).tolist()
                for name, engine in engines.items()
            },
        }
        for file in draw(signature)
    ]
    return (json.dumps({"images": images}) + "\n").encode()


def check_golden(folder: Path, recorded: bool, name: str, engine: Engine) -> None:
    """Raise ArtifactError unless the engine `name` scores the golden images as it did when the artifact was made.

    Without golden.json (not `recorded`) drawn images must give finite scores in 0..1, one for each label.
    """
    known: Sequence[tuple[bytes, Any]] = [(file, None) for file in draw(engine.signature)]
    if recorded:
        known = _read(folder, name, len(engine.signature.labels))
    for number, (file, expected) in enumerate(known):
        what = f"{folder}: {name} scores the golden image {number}"
        try:
            scores = _scores(engine, file)
        except Exception as exc:  # what an engine raises for a graph that cannot be run, or a recipe for its image
            raise ArtifactError(f"{what} not at all: {' '.join(str(exc).split()) or type(exc).__name__}") from exc
        _check(scores, expected, what)


def _scores(engine: Engine, file: bytes) -> Scores:
    scores: Scores = engine.score(preprocess(file, engine.signature))[0]
    return scores


def _check(scores: Scores, expected: Any, what: str) -> None:
    if not np.isfinite(scores).all() or scores.min() < -_SLACK or scores.max() > 1 + _SLACK:
        raise ArtifactError(f"{what} from {scores.min():.4g} to {scores.max():.4g}; scores must be from 0 to 1")
    if expected is None:
        return
    difference, allowed = float(np.abs(scores - expected).max()), max(LEAST, TOLERANCE * float(expected.max()))
    if difference > allowed:
        raise ArtifactError(
            f"{what} otherwise than when the artifact was made: by {difference:.4f}, at most {allowed:.4f} is allowed"
        )
    rounding = len(expected) / 10**DIGITS
    if abs(expected.sum() - 1) <= rounding and abs(scores.sum() - 1) > rounding + _SUM_SLACK:
        raise ArtifactError(f"{what} with a sum of {scores.sum():.4f}; it must be 1")


def _read(folder: Path, name: str, labels: int) -> list[tuple[bytes, Any]]:
    """The image files of golden.json and the scores of the engine `name` [labels]. Raises ArtifactError."""
    body = parse_json(read_text_file(folder, GOLDEN), GOLDEN)
    try:
        known = [
            (base64.b64decode(each["png"], validate=True), np.array(each["scores"][name], np.float64))
            for each in body["images"]
        ]
    except (KeyError, TypeError, ValueError, OverflowError):
        raise ArtifactError(
            f'{folder}: {GOLDEN} must be {{"images": [{{"png": base64, "scores": {{engine: [number]}}}}]}} with the '
            f"scores of {name}"
        ) from None
    for _, scores in known:
        if scores.shape != (labels,) or not np.isfinite(scores).all():
            raise ArtifactError(f"{folder}: {GOLDEN} must have {labels} finite scores of {name} for each image")
    if not known:
        raise ArtifactError(f"{folder}: {GOLDEN} holds no image")
    return known


def _drawn(width: int, height: int) -> bytes:
    """A dark shape on a light, sloping background, in whole numbers alone: the same bytes of pixels everywhere."""
    down, right = np.mgrid[0:height, 0:width]
    slope = np.stack(
        [250 - 30 * right // width, 245 - 40 * down // height, 240 - 20 * (right + down) // (width + height)]
    )
    body = (abs(2 * right - width) * 3 < width) & (abs(2 * down - height) * 5 < 4 * height)
    arms = (abs(2 * right - width) * 5 < 4 * width) & (abs(8 * down - 3 * height) < height)
    shape = np.stack([40 + 90 * down // height, 60 + 30 * right // width, 120 - 60 * down // height])
    pixels = np.where(body | arms, shape, slope).transpose(1, 2, 0).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
