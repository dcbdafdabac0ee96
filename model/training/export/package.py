"""Packages a model as an artifact, which appears in its folder only after its engines were compared and measured."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf

from model.artifact.load import Artifact, read_artifact
from model.text import reason
from model.training.errors import ExportError
from model.training.export.artifact_writer import CARD, replace
from model.training.export.model_card import render_card
from model.training.export.variants import ExportJob, build

# Returns the head of the model card of a packaged artifact.
Describe = Callable[[Artifact], str]


def pack(product: ExportJob, out: Path, describe: Describe) -> Artifact:
    """Write the artifact to `out`. The previous one is replaced only when every check has passed.

    `describe` is called when the artifact can be loaded; it returns the head of MODEL_CARD.md and may add files that
    affect no prediction. Raises ExportError when an engine's scores differ from the model's, or when the disk is full.
    """
    out = out.resolve()
    work = out.with_name(f"{out.name}.packing")
    with _writing(out, work):
        measured = build(product, work)
        artifact = read_artifact(work)
        (work / CARD).write_text(render_card(artifact, measured, product.trial, describe(artifact)), "utf-8")
        replace(work, out)
    return read_artifact(out)


@contextmanager
def _writing(out: Path, work: Path) -> Iterator[None]:
    """Create an empty folder `work` next to `out`, and remove it in any case afterwards."""
    shutil.rmtree(work, ignore_errors=True)
    try:
        work.mkdir(parents=True)
        yield
    except (OSError, tf.errors.OpError) as exc:
        why = exc.strerror if isinstance(exc, OSError) and exc.strerror else reason(exc)
        raise ExportError(f"{out} cannot be written: {why}; the previous artifact is unchanged") from exc
    finally:
        shutil.rmtree(work, ignore_errors=True)
