"""Loads an untrusted ONNX file in a process of its own, with limits of time and memory, and reports its ends.

Loading calculates constants and may therefore take any time and memory, whatever the file's size is. So may scoring,
which is tried with one image.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from signal import Signals
from typing import Any

import numpy as np

from model.engines.onnx import End, as_input, open_session, runtime_reason, session_ends
from model.errors import ArtifactError
from model.preprocessing.signature_schema import DTYPES, MAX_EDGE
from model.text import shortened
from model.training.errors import SourceError
from model.training.importing.onnx_limits import MAX_FIXED_BATCH, OnnxLimits

_ROOT = Path(__file__).resolve().parents[3]

# Words of ONNX Runtime's messages when memory is missing.
_NO_MEMORY = "bad_alloc", "allocate memory", "Unable to allocate", "MemoryError"


@dataclass(frozen=True, slots=True)
class Loaded:
    """The inputs and outputs of a file; the outputs have the shapes of a scored image, if one could be scored.
    `failed`: why the model could not score it, else empty."""

    inputs: list[End]
    outputs: list[End]
    failed: str


def load_apart(path: Path, limits: OnnxLimits, size: int = 0) -> Loaded:
    """Load a checked file and score a black image. `size`: pixels of edges that the file leaves open, 0 if unknown.

    Raises SourceError when the file cannot be loaded, or not within the limits.
    """
    command = [sys.executable, "-m", __name__, str(path.absolute()), str(size), str(limits.memory)]
    try:
        done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=limits.seconds, check=False)
    except subprocess.TimeoutExpired:
        raise SourceError(
            f"{path} takes more than {limits.seconds:g} s to load and to score an image; --max-seconds allows more"
        ) from None
    said = (done.stdout.strip() or done.stderr.strip()).rpartition("\n")[2]
    if any(words in said for words in _NO_MEMORY):
        raise SourceError(
            f"{path} takes more than {limits.memory:,} bytes of memory to load and to score an image; --max-memory "
            "allows more"
        )
    if done.returncode < 0:
        raise SourceError(f"{path} cannot be loaded: it ends ONNX Runtime with {Signals(-done.returncode).name}")
    if done.returncode:
        raise SourceError(shortened(said))
    found = json.loads(said)
    inputs, outputs = ([End(name, tuple(shape), dtype) for name, shape, dtype in found[key]] for key in ("in", "out"))
    return Loaded(inputs, outputs, found["failed"])


def _load(path: Path, size: int) -> dict[str, Any]:
    """What the process reports."""
    session = open_session(path)
    inputs, outputs = session_ends(session)
    failed = ""
    image = _black(inputs, size)
    if image is not None:
        try:
            made = session.run(None, {inputs[0].name: image})
            outputs = [_as_made(end, array) for end, array in zip(outputs, made, strict=True)]
        except Exception as exc:  # ONNX Runtime's exceptions have no base class of their own
            failed = runtime_reason(exc)
    ends = {key: [(end.name, end.shape, end.dtype) for end in of] for key, of in (("in", inputs), ("out", outputs))}
    return {**ends, "failed": failed}


def _black(inputs: Sequence[End], size: int) -> Any:
    """A batch with a black image; None when the model takes no images, or images of an unknown or too large size."""
    if len(inputs) != 1 or inputs[0].channels_first is None or inputs[0].represented not in DTYPES:
        return None
    count, *edges = inputs[0].image_shape
    shape = [edge or size for edge in edges]
    if not all(1 <= edge <= MAX_EDGE for edge in shape) or (count or 1) > MAX_FIXED_BATCH:
        return None
    return as_input(np.zeros((1, *shape), inputs[0].represented), inputs[0])


def _as_made(end: End, made: Any) -> End:
    """The output with the shape of what the model made of an image. It may be no array."""
    return replace(end, shape=(None, *made.shape[1:])) if isinstance(made, np.ndarray) else end


def _main(path: str, size: str, memory: str) -> int:
    import onnxruntime  # noqa: F401  # its own files do not count

    # The heap and the private maps of the process. Its address space is larger, as it counts mapped files, too.
    resource.setrlimit(resource.RLIMIT_DATA, (int(memory), int(memory)))
    try:
        print(json.dumps(_load(Path(path), int(size))))
    except (ArtifactError, MemoryError) as exc:
        print(str(exc) or type(exc).__name__)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(_main(*sys.argv[1:]))
