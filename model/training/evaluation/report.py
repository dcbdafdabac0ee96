"""Writes an evaluation as one self-contained HTML file: tables, a confusion matrix, and images of the worst errors.

The report shows the user's own images and file names, so it must not be committed. The template escapes every text, and
every image is encoded again from decoded pixels.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from model.images.decode import decode_image
from model.images.limits import Limits
from model.text import printable
from model.training.data.labelled import LabelledImage
from model.training.errors import ReportError
from model.training.evaluation.evaluate import Evaluation

# Number of errors that are shown: those with the highest scores.
MISTAKES = 24

# Longest edge of a thumbnail, in pixels.
_THUMBNAIL = 112
_TEMPLATE = Path(__file__).with_name("report.html")


def write_report(evaluation: Evaluation, path: Path) -> None:
    """Write the report and create its folder. Raises ReportError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # File names may hold characters that UTF-8 cannot encode; these are written as escapes.
        path.write_text(render_report(evaluation), "utf-8", errors="backslashreplace")
    except OSError as exc:
        raise ReportError(f"{path} cannot be written: {exc.strerror}") from exc


def render_report(evaluation: Evaluation) -> str:
    """Render the report as HTML."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    # Escaping prevents HTML in values; `printable` also prevents direction marks that reorder the surrounding text.
    environment.finalize = lambda value: printable(value) if isinstance(value, str) else value
    environment.filters["percent"] = lambda share: "-" if share is None else f"{share:.1%}"
    template = environment.from_string(_TEMPLATE.read_text("utf-8"))
    found = evaluation.to_dict()
    return template.render(
        found=found,
        shares=_row_shares(np.array(found["confusion"]["counts"])),
        mistakes=list(_mistakes(evaluation)),
        wrong=int((evaluation.best != evaluation.truth).sum()),
    )


def _row_shares(matrix: Any) -> list[list[float]]:
    """Each count as a share of its row, for the shade of its cell."""
    shares: list[list[float]] = (matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))).tolist()
    return shares


def _mistakes(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    """The wrong predictions with the highest scores, each with its thumbnail."""
    scored, labels = evaluation.scored, list(evaluation.classes)
    confidence = scored.scores.max(axis=1)
    wrong = np.flatnonzero(evaluation.best != evaluation.truth)
    for row in wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES]:
        item = scored.items[row]
        yield {
            "file": item.name,
            "thumbnail": _thumbnail(item),
            "predicted": labels[evaluation.best[row]],
            "score": float(confidence[row]),
            "correct": " or ".join(labels[number] for number in item.right),
        }


def _thumbnail(item: LabelledImage) -> str:
    """The image as a PNG in base64. Scoring has decoded it before, so decoding succeeds."""
    image = decode_image(item.read(), Limits(), 2 * _THUMBNAIL)
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
