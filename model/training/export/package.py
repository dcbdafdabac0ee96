"""Packages a model as an artifact, which appears in its folder only after its engines were compared and measured."""

from __future__ import annotations

import secrets
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf

from model.artifact.load import CARD, Artifact, read_artifact
from model.artifact.manifest import MANIFEST
from model.text import reason
from model.training.errors import ExportError
from model.training.export.artifact_writer import replace, set_version
from model.training.export.model_card import render_card
from model.training.export.variants import ExportJob, build
from model.training.export.versions import earlier_artifact, version_after

# Returns the head of the model card of a packaged artifact.
Describe = Callable[[Artifact], str]


def pack(product: ExportJob, out: Path, describe: Describe) -> Artifact:
    """Write the artifact to `out`. The previous one is replaced only when every check has passed.

    `describe` is called when the artifact can be loaded; it returns the head of MODEL_CARD.md and may add files that
    affect no prediction. Raises ExportError when an engine's scores differ from the model's, when the disk is full, or
    when `out` is neither an artifact nor an empty folder, which are the only things that are replaced.
    """
    out = out.resolve()
    check_replaceable(out)
    # Two exports to the same folder write folders of their own.
    work = out.with_name(f"{out.name}.{secrets.token_hex(4)}.packing")
    with _writing(out, work):
        measured = build(product, work)
        artifact = _with_own_version(read_artifact(work), out)
        (work / CARD).write_text(render_card(artifact, measured, product.trial, describe(artifact)), "utf-8")
        replace(work, out)
    return read_artifact(out)


def check_replaceable(out: Path) -> None:
    """Raise ExportError when `out` holds anything but an artifact: it would be deleted."""
    if out.exists() and not (out / MANIFEST).is_file() and not (out.is_dir() and not any(out.iterdir())):
        what = "holds files of another kind" if out.is_dir() else "is a file"
        raise ExportError(f"{out} {what}, which an artifact would replace; choose another folder with --out")


def _with_own_version(artifact: Artifact, out: Path) -> Artifact:
    """The artifact, whose version no other content in `out` has: responses name the version of their model."""
    version = version_after(artifact, earlier_artifact(out))
    if version == artifact.version:
        return artifact
    print(f"{out} holds {artifact.name} {artifact.version} already; this one is {version}", file=sys.stderr, flush=True)
    set_version(artifact.folder, version)
    return read_artifact(artifact.folder)


@contextmanager
def _writing(out: Path, work: Path) -> Iterator[None]:
    """Create an empty folder `work` next to `out`, and remove it in any case afterwards."""
    try:
        work.mkdir(parents=True)
        yield
    except (OSError, tf.errors.OpError) as exc:
        why = exc.strerror if isinstance(exc, OSError) and exc.strerror else reason(exc)
        raise ExportError(f"{out} cannot be written: {why}; the previous artifact is unchanged") from exc
    finally:
        shutil.rmtree(work, ignore_errors=True)
