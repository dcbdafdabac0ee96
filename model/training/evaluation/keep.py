"""Keeps an evaluation in its artifact, as evaluation.json."""

from __future__ import annotations

from pathlib import Path

from model.artifact.evaluation import encode_evaluation
from model.artifact.load import EVALUATION
from model.training.errors import ReportError
from model.training.evaluation.evaluate import Evaluation


def keep(evaluation: Evaluation, folder: Path, data: str) -> None:
    """Write the figures on `data`, the name of the images, to the artifact in `folder`; earlier ones are replaced.

    Raises ReportError when the file cannot be written, and ArtifactError when it is too large.
    """
    content = encode_evaluation(evaluation.to_dict(), data)
    try:
        (folder / EVALUATION).write_bytes(content)
    except OSError as exc:
        raise ReportError(f"{folder / EVALUATION} cannot be written: {exc.strerror}") from exc
