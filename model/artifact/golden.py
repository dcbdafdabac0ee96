"""Golden images: an artifact records the scores of its engines for them, and loading an engine compares its scores.

golden.json holds two small image files with the scores of each engine. For an older artifact without it, the scores of
images that are drawn here must at least be valid. The comparison covers decoding, preprocessing and scoring.
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

# Decimals of the recorded scores.
DIGITS = 4

# Allowed difference of a score: this share of the image's highest score, and at least LEAST. On other processors
# quantised models differ by a few steps of 1/256. A wrong recipe or a damaged file changes scores by more.
TOLERANCE, LEAST = 0.1, 0.02

# How far a score may lie outside 0..1.
_SLACK = 1e-3

# Allowed difference of an image's scores from a sum of 1, when the recorded scores sum to 1.
_SUM_SLACK = 0.05

# Longest edge of a drawn image, in pixels: the files stay small and quick to score.
_LARGEST = 128


def draw(signature: Signature) -> tuple[bytes, bytes]:
    """Two PNG files: one of the model's input size where that is small, and one larger, with a photo's proportions."""
    exact = min(signature.width, _LARGEST), min(signature.height, _LARGEST)
    return _drawn(*exact), _drawn(_LARGEST + 32, _LARGEST)


def record(signature: Signature, engines: Mapping[str, Engine]) -> bytes:
    """The content of golden.json: drawn images and each engine's scores for them."""
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

    Without golden.json (not `recorded`), drawn images must give finite scores in 0..1, one for each label.
    """
    known: Sequence[tuple[bytes, Any]] = [(file, None) for file in draw(engine.signature)]
    if recorded:
        known = _read(folder, name, len(engine.signature.labels))
    for number, (file, expected) in enumerate(known):
        what = f"{folder}: {name} scores the golden image {number}"
        try:
            scores = _scores(engine, file)
        except Exception as exc:  # anything that an engine or a recipe raises for this image
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
            f"{what} differently from when the artifact was made: by {difference:.4f}, at most {allowed:.4f} is allowed"
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
    """A dark shape on a light gradient, computed in integers only, so that the pixels are the same on every machine."""
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
