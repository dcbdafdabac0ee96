"""Compares the scores of exported engines with those of the model itself."""

from __future__ import annotations

import numpy as np
from PIL import Image

from model.engines.base import Images, Scores, Signature
from model.engines.outputs import as_scores
from model.preprocessing.recipe import run_recipe
from model.training.errors import ExportError, SourceError
from model.training.export.benchmark import Parity, compare
from model.training.export.source import Source

# Allowed share of images with another best label.
MAX_DISAGREEMENT = 0.001

# Allowed difference of a score, as a share of the highest score: with random weights, each of a thousand classes has a
# score near a thousandth.
MAX_DIFFERENCE = 1e-3

# Allowed difference of a score when the same batch is scored again, as a share of the highest score.
MAX_REPEATED = 1e-4

# Count of faint images that are scored again, and their brightness as a share of the others'.
_FAINT_IMAGES, _FAINT = 8, 0.01

# Synthetic images for the comparison when there are no others.
PROBES = 16


def probes(signature: Signature, count: int = PROBES) -> Images:
    """Synthetic images through the recipe: coloured gradients with noise, always the same."""
    rng = np.random.default_rng(0)
    height, width = 2 * signature.height, 2 * signature.width
    photos = []
    for _ in range(count):
        corners = Image.fromarray(rng.integers(0, 256, (3, 3, 3), np.uint8)).resize((width, height))
        noise = rng.integers(-20, 21, (height, width, 3))
        photos.append(Image.fromarray(np.clip(np.asarray(corners, np.int16) + noise, 0, 255).astype(np.uint8)))
    return np.concatenate([run_recipe(photo, signature) for photo in photos])


def reference_scores(source: Source, images: Images, signature: Signature) -> Scores:
    """The model's own scores for the images. Raises SourceError unless they are probabilities, and the same whenever an
    image is scored."""
    given = source.score(images, signature)
    if given.shape != (len(images), source.spec.outputs):
        raise SourceError(
            f"{source.origin} gives {list(given.shape)} for {len(images)} images; it must give one row of "
            f"{source.spec.outputs} numbers for each"
        )
    with np.errstate(all="ignore"):
        scores = as_scores(signature.outputs, given)
    if not np.isfinite(scores).all():
        raise SourceError(f"{source.origin} gives NaN or infinity for some images; every score must be a number")
    if scores.min() < 0 or scores.max() > 1 + MAX_DIFFERENCE:
        raise SourceError(
            f"{source.origin} gives numbers from {scores.min():.3g} to {scores.max():.3g} as {signature.outputs}; "
            "probabilities must be from 0 to 1"
        )
    _check_repeatable(source, images[:PROBES], scores[:PROBES], signature)
    if images.dtype == np.float32:
        faint = np.asarray(images[:_FAINT_IMAGES] * _FAINT, np.float32)
        _check_repeatable(source, faint, as_scores(signature.outputs, source.score(faint, signature)), signature)
    return scores


def _check_repeatable(source: Source, images: Images, scores: Scores, signature: Signature) -> None:
    """Raise SourceError unless the images get these scores a second time, together and one at a time.

    The scores of faint images are compared, too: those of others may all be 0 and 1, which hides small differences.
    """
    for how, size, allowed in (("a second time", len(images), MAX_REPEATED), ("alone", 1, MAX_DIFFERENCE)):
        parts = [source.score(images[start : start + size], signature) for start in range(0, len(images), size)]
        difference = float(np.abs(as_scores(signature.outputs, np.concatenate(parts)) - scores).max())
        if not difference <= allowed * float(scores.max()):  # it may be NaN
            raise SourceError(
                f"{source.origin} scores the same image differently {how}, by {difference:.1e}; predictions must "
                "depend on the image alone: save the model without augmentation, in inference mode"
            )


def check_parity(name: str, scores: Scores, reference: Scores, cut: float | None = None) -> Parity:
    """Compare an engine's scores with the model's on the same images. Raises ExportError when they differ too much.

    One image with another label is always allowed, because two scores may be almost equal. `cut`: see `compare`.
    """
    parity, allowed = compare(scores, reference, cut), MAX_DIFFERENCE * float(reference.max())
    if parity.max_difference > allowed or parity.disagreement * parity.images > max(
        1.0, MAX_DISAGREEMENT * parity.images
    ):
        raise ExportError(
            f"{name} does not score as the model does: another label on {parity.disagreement:.2%} of "
            f"{parity.images:,} images (at most {MAX_DISAGREEMENT:.1%}), scores differ by {parity.max_difference:.1e} "
            f"(at most {allowed:.1e})"
        )
    return parity
