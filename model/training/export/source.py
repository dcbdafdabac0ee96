"""What every model from elsewhere looks like to the import, and the checks that all of them must pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from model.engines.base import Images, Scores, Signature
from model.preprocessing.signature_schema import MAX_EDGE
from model.training.errors import SourceError

Shape = Sequence[int | None]
End = tuple[str, Shape, str]
"""An input or output: name, shape (None for what is not fixed), dtype."""


@dataclass(frozen=True, slots=True)
class Form:
    """What a model takes and gives: images [N, height, width, channels] of a dtype, `outputs` scores each."""

    height: int
    width: int
    channels: int
    dtype: str
    outputs: int


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Of a SavedModel: their names, the one that scores first, and what their one input is called."""

    names: tuple[str, ...]
    input: str


class Source(Protocol):
    """A model from elsewhere."""

    @property
    def origin(self) -> str:
        """What it is called in messages."""
        ...

    @property
    def form(self) -> Form: ...

    @property
    def engines(self) -> tuple[str, ...]:
        """Those that can be written."""
        ...

    @property
    def pixels(self) -> str | tuple[float, float] | None:
        """What it is known to take (see recipe.recipe), None when its file is silent."""
        ...

    @property
    def changes(self) -> str:
        """What was put behind it so that it gives probabilities, in words; empty when nothing."""
        ...

    @property
    def parameters(self) -> int:
        """How many numbers were learnt; 0 when not known."""
        ...

    def score(self, images: Images, signature: Signature) -> Scores:
        """Score images of the signature as the model itself does, not through an artifact's engine."""
        ...

    def write(self, work: Path) -> Endpoints | None:
        """Write into an artifact's folder what it is: a SavedModel, with these endpoints, or model.tflite (None)."""
        ...


def form_of(what: str, inputs: Sequence[End], outputs: Sequence[End], size: int = 0, *, sizable: bool = False) -> Form:
    """The form of a classifier; `size` fixes what a `sizable` one leaves open. Raises SourceError when it is none."""
    for ends, verb in ((inputs, "takes"), (outputs, "gives")):
        if len(ends) != 1:
            names = ", ".join(name for name, _, _ in ends)
            wanted = "one batch of images" if verb == "takes" else "one row of scores an image"
            raise SourceError(f"{what} {verb} {len(ends)} arrays ({names}); a classifier {verb} {wanted}")
    (_, shape, dtype), (_, out, _) = inputs[0], outputs[0]
    if len(shape) != 4 or shape[3] not in (1, 3):
        hint = ": its channels come first" if len(shape) == 4 and shape[1] in (1, 3) else ""
        raise SourceError(f"{what} takes {_text(shape)}{hint}; it must take [N, height, width, 1 or 3]")
    height, width = ((edge or size) if sizable else edge for edge in shape[1:3])
    if not height or not width:
        remedy = "say which with --size" if sizable else "it must be saved with a fixed one"
        raise SourceError(f"{what} takes images of any size; {remedy}")
    if max(height, width) > MAX_EDGE:
        raise SourceError(f"{what} takes images of {height}x{width} pixels; at most {MAX_EDGE:,} an edge are allowed")
    if size and (height, width) != (size, size):
        raise SourceError(f"size is {size}; {what} takes {height}x{width} alone")
    if len(out) != 2 or not out[1]:
        raise SourceError(f"{what} gives {_text(out)}; it must give [N, labels]")
    if dtype not in ("float32", "uint8", "int8"):
        raise SourceError(f"{what} takes {dtype}; it must take float32, uint8 or int8")
    return Form(height, width, shape[3], dtype, out[1])


def _text(shape: Shape) -> str:
    return "[" + ", ".join("N" if n is None or n < 0 else str(n) for n in shape) + "]"
