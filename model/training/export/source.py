"""The interface of all models that are exported or imported, and the checks that they must pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from model.engines.base import Images, Scores, Signature
from model.preprocessing.signature_schema import MAX_EDGE
from model.text import quoted, shortened
from model.training.errors import SourceError

# Engines that TensorFlow's models can be exported to.
TENSORFLOW = "litert", "savedmodel"

# Dimensions of a tensor, None where they are not fixed.
Shape = Sequence[int | None]

# Largest distance from 0 to the middle of values around 0, as a share of their range. The middle of 0..1 is at 0.5.
_CENTRED = 0.3

# Types of scores.
_REAL = "float32", "float16", "float64", "bfloat16"

# Characters of a list of outputs in a message.
_MAX_NAMES = 80

# An input or output: name, shape, dtype.
TensorSpec = tuple[str, Shape, str]


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Input and output of a classifier: images [N, height, width, channels], and `outputs` numbers per image.

    `channels_first`: the model's own input is [N, channels, height, width]; its source transposes the images.
    """

    height: int
    width: int
    channels: int
    dtype: str
    outputs: int
    channels_first: bool = False

    @property
    def labels(self) -> int:
        """One label for each score; two for a single score, which belongs to the second one."""
        return max(2, self.outputs)


@dataclass(frozen=True, slots=True)
class Ends:
    """What a model's file says about its two ends.

    `last`: the operation that makes the outputs (`softmax`, `sigmoid`, `linear`, ...), empty when it is unknown.
    `loss`: the meaning of the outputs by the loss of the training, a name of model.engines.outputs.ROWS, else empty.
    `gain`: the factor by which the model scales its pixels itself, None when it does not.
    `is_centred`: whether it makes values around 0 of the pixels 0..255, for instance by subtracting a mean. Pixels of
    another range would get others.
    """

    last: str = ""
    loss: str = ""
    gain: float | None = None
    is_centred: bool = False


def ends_with(last: str, loss: str, scaled: tuple[Any, Any] | None) -> Ends:
    """The ends of a model; `scaled` holds the values that it makes of the pixels 0 and 255, None when it does not scale
    them. The gain is the largest one, if channels differ.
    """
    if scaled is None:
        return Ends(last, loss)
    low, high = (np.asarray(end, np.float64) for end in scaled)
    middle, span = (low.mean() + high.mean()) / 2, abs(high.mean() - low.mean())
    return Ends(last, loss, float(np.abs(high - low).max()) / 255, bool(abs(middle) < _CENTRED * span))


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The endpoints of a SavedModel: their names, with the scoring one first, and the name of their input."""

    names: tuple[str, ...]
    input: str


class Source(Protocol):
    """A model to export."""

    @property
    def origin(self) -> str:
        """Its name in messages."""
        ...

    @property
    def spec(self) -> ModelSpec: ...

    @property
    def engines(self) -> tuple[str, ...]:
        """The engines that it can be exported to."""
        ...

    @property
    def pixels(self) -> str | tuple[Any, Any] | None:
        """The pixel scaling that the model expects (see recipe.recipe), None when its file does not say it."""
        ...

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The labels that its file holds; None when it holds none."""
        ...

    @property
    def ends(self) -> Ends: ...

    @property
    def parameters(self) -> int:
        """The number of trained parameters; 0 when unknown."""
        ...

    def score(self, images: Images, signature: Signature) -> Scores:
        """The model's own numbers [N, spec.outputs] for images of the signature, without an exported engine."""
        ...

    def write(self, work: Path) -> Endpoints | None:
        """Write the model into an artifact's folder: a SavedModel (returns its endpoints) or model.tflite (None)."""
        ...


@dataclass(frozen=True, slots=True)
class Choice:
    """The user's choice among what a file leaves open. `signature` and `output` are names, None for the file's default
    or only one; `size` is pixels of each edge, 0 for the file's own."""

    signature: str | None = None
    output: str | None = None
    size: int = 0


NO_CHOICE = Choice()


def chosen(what: str, names: Sequence[str], wanted: str | None) -> int:
    """The place of the output to serve among `names`: the `wanted` one, or the only one. Raises SourceError."""
    if wanted is None and len(names) == 1:
        return 0
    listed = shortened(", ".join(names), _MAX_NAMES)
    if wanted is None:
        raise SourceError(
            f"{what} gives {len(names)} arrays ({listed}); a classifier gives one row of scores per image: choose it "
            "with --output"
        )
    if names.count(wanted) != 1:
        raise SourceError(f"the output is {quoted(wanted)}; {what} gives {listed}")
    return names.index(wanted)


def spec_of(
    what: str,
    inputs: Sequence[TensorSpec],
    output: TensorSpec,
    size: int = 0,
    *,
    sizable: bool = True,
    channels_first: bool = False,
) -> ModelSpec:
    """The specification of a classifier with this output; `size` fixes edges that a `sizable` model leaves open.

    `channels_first`: whether the model's operations say that its images have their channels first. Their shape alone
    does not say it. Raises SourceError.
    """
    if len(inputs) != 1:
        names = ", ".join(name for name, _, _ in inputs)
        raise SourceError(f"{what} takes {len(inputs)} arrays ({names}); a classifier takes one batch of images")
    (_, given, dtype), (name, out, made) = inputs[0], output
    shape = [given[0], *given[2:], given[1]] if channels_first and len(given) == 4 else given
    if len(shape) != 4 or shape[3] not in (1, 3):
        hint = ": its channels come first" if len(shape) == 4 and shape[1] in (1, 3) else ""
        raise SourceError(f"{what} takes {_text(shape)}{hint}; it must take [N, height, width, 1 or 3]")
    height, width = ((edge or size) if sizable else edge for edge in shape[1:3])
    if not height or not width:
        remedy = "choose one with --size" if sizable else "it must be saved with a fixed size"
        raise SourceError(f"{what} takes images of any size; {remedy}")
    if max(height, width) > MAX_EDGE:
        raise SourceError(f"{what} takes images of {height}x{width} pixels; each edge may have at most {MAX_EDGE:,}")
    if size and (height, width) != (size, size):
        raise SourceError(f"size is {size}; {what} takes only {height}x{width}")
    if made not in _REAL:
        raise SourceError(
            f"{what} gives {quoted(name)} as {made}; it must give an array of real numbers, a score for each label"
        )
    if len(out) != 2 or not out[1]:
        raise SourceError(f"{what} gives {_text(out)}; it must give [N, labels]")
    if dtype not in ("float32", "uint8", "int8"):
        raise SourceError(f"{what} takes {dtype}; it must take float32, uint8 or int8")
    return ModelSpec(height, width, shape[3], dtype, out[1], channels_first)


def _text(shape: Shape) -> str:
    return "[" + ", ".join("N" if n is None or n < 0 else str(n) for n in shape) + "]"
