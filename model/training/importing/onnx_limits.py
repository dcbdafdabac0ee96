"""Limits of an ONNX file that is imported. Options of the command line raise them."""

from __future__ import annotations

from dataclasses import dataclass

from model.training.errors import SourceError

# Bytes of a file of protobuf, in which a served model is one message.
_MOST_BYTES = (1 << 31) - 1

# Images of a batch of a fixed size. One image is scored as a whole batch.
MAX_FIXED_BATCH = 256


@dataclass(frozen=True, slots=True)
class OnnxLimits:
    """`size`: bytes of the file and of the files with its weights; `nodes`: those of a function count at each call;
    `seconds` and `memory` (bytes) to load it and to score one image. Raises SourceError for a limit out of its range.
    """

    size: int = 2_000_000_000
    nodes: int = 10_000
    seconds: float = 60
    memory: int = 4_000_000_000

    def __post_init__(self) -> None:
        for option, value, most in (
            ("--max-size", self.size, _MOST_BYTES),
            ("--max-nodes", self.nodes, 1_000_000),
            ("--max-seconds", self.seconds, 86_400),
            ("--max-memory", self.memory, 1 << 40),
        ):
            if not 1 <= value <= most:
                raise SourceError(f"{option} is {value:g}; it must be from 1 to {most:,}")
