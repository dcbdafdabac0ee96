"""Models of TensorFlow.js: a model.json with the topology, and files with the weights next to it. No JavaScript runs.

A layers model becomes a Keras network, a graph model a SavedModel.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model.text import decode_text, quoted
from model.training.errors import SourceError
from model.training.export.source import Choice, Source
from model.training.importing.keras_source import KerasSource
from model.training.importing.savedmodel_source import SavedModelSource
from model.training.importing.teachable_machine import PIXELS, read_machine
from model.training.importing.tfjs_graph import write_graph
from model.training.importing.tfjs_layers import build_layers
from model.training.importing.tfjs_weights import read_weights
from model.training.importing.unpacking import parse_json, read_small

MODEL = "model.json"
"""The name under which TensorFlow.js saves a topology."""


def is_tensorflow_js(path: Path) -> bool:
    """Whether a path is a folder with a model.json, or a JSON file."""
    return (path / MODEL).is_file() or (path.suffix.lower() == ".json" and path.is_file())


def open_tensorflow_js(path: Path, choice: Choice) -> Source:
    """The model of a folder or of its model.json. Raises SourceError when a part of it is missing, damaged or unknown.

    The metadata of Teachable Machine next to it say its labels and its pixels.
    """
    file = path / MODEL if path.is_dir() else path
    content, machine = _read(file), read_machine(file.parent)
    topology, weights = content["modelTopology"], read_weights(content.get("weightsManifest"), file)
    pixels, labels = (PIXELS, machine.labels) if machine else (None, None)
    source: Source
    if "node" in topology:
        source = GraphSource(content, weights, file, choice, pixels, labels)
    else:
        network, loss = build_layers(topology, weights, file)
        source = KerasSource(network, str(file), pixels, choice.size, loss=loss, output=choice.output, labels=labels)
    if machine and machine.size not in (0, source.spec.height):
        raise SourceError(
            f"{file} takes images of {source.spec.height}x{source.spec.width} pixels; the metadata of Teachable "
            f"Machine next to it say {machine.size}"
        )
    return source


class GraphSource(SavedModelSource):
    """A graph model, as the SavedModel that it is written as."""

    def __init__(
        self,
        content: Mapping[str, Any],
        weights: Mapping[str, Any],
        file: Path,
        choice: Choice,
        pixels: str | None,
        labels: tuple[str, ...] | None,
    ) -> None:
        folder = tempfile.mkdtemp(prefix="tensorflow-js-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        saved = Path(folder, "saved_model")
        write_graph(content, weights, file, saved)
        try:
            super().__init__(saved, choice)
        except SourceError as exc:  # which names the temporary folder
            raise SourceError(str(exc).replace(str(saved), str(file))) from exc
        self.origin, self.pixels, self.labels = str(file), pixels, labels


def _read(file: Path) -> dict[str, Any]:
    """The content of a model.json, whose modelTopology is an object."""
    try:
        content = parse_json(decode_text(read_small(file)), str(file))
    except OSError as exc:
        raise SourceError(f"{file} cannot be read: {exc.strerror}") from exc
    except json.JSONDecodeError as exc:
        raise SourceError(f"{file} is not JSON: {exc.msg}, line {exc.lineno}") from exc
    except ValueError as exc:
        raise SourceError(f"{file} cannot be used: {exc}") from exc
    if isinstance(content, dict) and isinstance(content.get("modelTopology"), dict):
        return content
    topology = content.get("modelTopology") if isinstance(content, dict) else None
    raise SourceError(
        f"{file} is no model of TensorFlow.js: its modelTopology is {quoted(topology)}; it must be an object"
    )
