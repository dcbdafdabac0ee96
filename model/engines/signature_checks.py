"""Checks that the engines share: a model and a batch of images against the signature."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from model.engines.base import Images, Signature
from model.engines.outputs import width_of
from model.errors import ArtifactError


def check_model(
    path: Path,
    signature: Signature,
    inputs: Sequence[tuple[Sequence[int | None], str]],
    outputs: Sequence[tuple[Sequence[int | None], str]],
) -> None:
    """Raise ArtifactError unless the model takes the signature's images and gives the float32 numbers of its outputs.

    `inputs` and `outputs` are (shape, dtype); the first dimension, N, is None or a number.
    """
    if len(inputs) != 1 or len(outputs) != 1:
        raise ArtifactError(f"{path} has {len(inputs)} inputs and {len(outputs)} outputs; it must have one of each")
    wanted = [
        ("takes", inputs[0], (signature.height, signature.width, signature.channels), signature.dtype),
        ("gives", outputs[0], (width_of(signature.outputs, len(signature.labels)),), "float32"),
    ]
    for verb, (shape, dtype), row, row_dtype in wanted:
        if tuple(shape[1:]) != row or dtype != row_dtype:
            raise ArtifactError(
                f"{path} {verb} {dtype} {_text(shape[1:])} per image; the signature has {row_dtype} {_text(row)}"
            )


def check_images(images: Images, signature: Signature) -> None:
    """Raise ValueError unless `images` is a batch of at least one image that matches the signature."""
    row = signature.height, signature.width, signature.channels
    if images.ndim != 4 or not len(images) or images.shape[1:] != row or images.dtype != signature.dtype:
        raise ValueError(
            f"images are {images.dtype} {_text(images.shape)}; "
            f"they must be {signature.dtype} {_text((None, *row))} with at least one image"
        )


def _text(shape: Sequence[int | None]) -> str:
    return "[" + ", ".join("N" if n is None or n < 0 else str(n) for n in shape) + "]"
