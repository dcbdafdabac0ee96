"""LiteRT files to export, quantised or not. The file is copied unchanged, or rewritten with the chosen output."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

from ai_edge_litert.interpreter import Interpreter

from model.artifact.load import ENGINES
from model.engines.base import PROBABILITIES, Images, Scores, Signature
from model.engines.litert import LiteRTEngine
from model.engines.litert_check import check_lite
from model.engines.quantization import quantisation_of
from model.errors import ArtifactError
from model.text import reason
from model.training.errors import SourceError
from model.training.export.source import NO_CHOICE, Choice, Endpoints, TensorSpec, spec_of
from model.training.importing.litert_choice import needs_choice, with_choice
from model.training.importing.litert_ends import ends_of
from model.training.importing.litert_metadata import read_metadata


def is_lite(path: Path) -> bool:
    """Whether a file's bytes are those of a LiteRT model, whatever its name."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(8)[4:] == b"TFL3"


class LiteSource:
    """A .tflite file. A quantised input or the file's metadata define the pixel scaling.

    The file is served unchanged, or rewritten where `choice` decides what it leaves open.
    """

    engines: tuple[str, ...] = ("litert",)
    parameters = 0

    def __init__(self, path: Path, choice: Choice = NO_CHOICE) -> None:
        self.origin, self._path = str(path), path
        if not path.is_file():
            raise SourceError(f"{path} does not exist")
        interpreter, place = _opened(path), 0
        if needs_choice(interpreter, choice):
            content, place = with_choice(path, choice)
            folder = tempfile.mkdtemp(prefix="litert-")
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            self._path = Path(folder, "model.tflite")
            self._path.write_bytes(content)
            interpreter = _opened(self._path)
        inputs, (output,) = interpreter.get_input_details(), interpreter.get_output_details()
        self.spec = spec_of(self.origin, [_end(each) for each in inputs], _end(output), choice.size)
        metadata = read_metadata(path, place)
        self.labels = metadata.labels
        self.pixels = _pixels(inputs[0]) or metadata.pixels
        self.ends = ends_of(interpreter)

    def score(self, images: Images, signature: Signature) -> Scores:
        try:
            numbered = tuple(map(str, range(self.spec.outputs)))
            engine = LiteRTEngine(self._path, replace(signature, labels=numbered, outputs=PROBABILITIES))
            scores = engine.score(images)
        except (ArtifactError, RuntimeError, ValueError) as exc:
            raise SourceError(f"{self._path} cannot be run by LiteRT: {reason(exc)}") from exc
        engine.close()
        return scores

    def write(self, work: Path) -> Endpoints | None:
        shutil.copyfile(self._path, work / ENGINES["litert"].path)
        return None


def _opened(path: Path) -> Any:
    """An interpreter of the file that has not allocated its tensors. Raises SourceError."""
    try:
        check_lite(path)
        return Interpreter(model_path=str(path))
    except ArtifactError as exc:
        raise SourceError(str(exc)) from exc
    except (ValueError, RuntimeError) as exc:
        raise SourceError(f"{path} is not a model that LiteRT can load: {reason(exc)}") from exc


def _pixels(tensor: dict[str, Any]) -> tuple[float, float] | None:
    """The pixel scaling of a quantised model, whose quantisation maps 0..255 to its whole range."""
    quantisation = quantisation_of(tensor)
    if quantisation is None:
        return None
    lowest = 128 if quantisation.dtype == "int8" else 0
    return quantisation.scale, -(quantisation.zero_point + lowest) * quantisation.scale


def _end(tensor: dict[str, Any]) -> TensorSpec:
    dtype = "float32" if quantisation_of(tensor) else tensor["dtype"].__name__
    return tensor["name"], [int(n) if n > 0 else None for n in tensor["shape_signature"]], dtype
