"""Packing: from a model to an artifact that stands in its folder only once its engines were compared and measured."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf

from model.artifact.load import Artifact, read_artifact
from model.training.errors import ExportError
from model.training.export.artifact_writer import CARD, replace
from model.training.export.model_card import render_card
from model.training.export.variants import Product, build

Tell = Callable[[Artifact], str]


def pack(product: Product, out: Path, tell: Tell) -> Artifact:
    """Write the artifact to `out`, replacing what is there only when every check has passed.

    `tell`: gives what MODEL_CARD.md says before the measurements, once the artifact can be loaded; it may put files
    that decide nothing into its folder. Raises ExportError when an engine does not score as the model does, or the disk
    is full.
    """
    out = out.resolve()
    work = out.with_name(f"{out.name}.packing")
    with _writing(out, work):
        measured = build(product, work)
        artifact = read_artifact(work)
        told = tell(artifact)
        (work / CARD).write_text(render_card(artifact, measured, product.trial, told), "utf-8")
        replace(work, out)
    return read_artifact(out)


@contextmanager
def _writing(out: Path, work: Path) -> Iterator[None]:
    """An empty `work` beside `out`, gone afterwards whatever happens."""
    shutil.rmtree(work, ignore_errors=True)
    try:
        work.mkdir(parents=True)
        yield
    except (OSError, tf.errors.OpError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        raise ExportError(f"{out} cannot be written: {reason}; what stood there is as it was") from exc
    finally:
        shutil.rmtree(work, ignore_errors=True)
