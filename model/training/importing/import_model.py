"""The import: loads a model file without running its code, and packages it as an artifact with its own recipe."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model.artifact.load import Artifact
from model.engines.base import Signature
from model.preprocessing.recipe import check_recipe
from model.training.errors import SourceError
from model.training.export.calibration_data import read_calibration_folder
from model.training.export.package import pack
from model.training.export.source import Source
from model.training.export.variants import ExportJob
from model.training.importing import catalog
from model.training.importing.keras_file import SUFFIXES, keras_suffix
from model.training.importing.keras_source import KerasSource
from model.training.importing.labels import labels_for
from model.training.importing.litert_source import LiteSource, is_lite
from model.training.importing.recipe import PIXELS, read_recipe, recipe
from model.training.importing.safe_keras import load_keras
from model.training.importing.savedmodel_source import SavedModelSource, is_saved_model

_FILES = *SUFFIXES, ".tflite"


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What to import, and the information that its file lacks.

    `source`: a name of the catalog, a .keras, .h5 or .tflite file, or a SavedModel folder. `pixels`: a key of
    recipe.PIXELS, or `recipe`, a JSON file; neither when the source is known. `weights`, `alpha`: for an architecture.
    `data`: images to compare smaller variants on (see `folders.read_images`); without it there are none.
    """

    source: str
    name: str = ""
    version: str = "1.0.0"
    labels: Path | None = None
    pixels: str | None = None
    recipe: Path | None = None
    framing: str = "crop"
    weights: str = catalog.IMAGENET
    alpha: float = 1.0
    size: int = 0
    engines: tuple[str, ...] = ()
    data: Path | None = None


def import_model(options: ImportOptions, out: Path) -> Artifact:
    """Make the artifact in `out`. Raises SourceError, DatasetError or ExportError, which names the problem and the
    allowed values."""
    source = open_source(options)
    engines = _engines(source, options.engines)
    signature = signature_for(source, options)
    changes = f" {source.changes[0].upper()}{source.changes[1:]}." if source.changes else ""
    origin = Path(options.source).name
    description = f"Imported from `{origin}` by `python -m model import`.\nPixels: {_pixels(source, options)}.{changes}"
    trial = read_calibration_folder(options.data, signature) if options.data else None
    product = ExportJob(source, signature, options.name or named(options.source), options.version, engines, trial)
    return pack(product, out, lambda artifact: description)


def open_source(options: ImportOptions) -> Source:
    """Load the model that the options name."""
    path = Path(options.source)
    if path.exists() and (options.weights, options.alpha) != (catalog.IMAGENET, 1.0):
        raise SourceError(f"{path} has its own weights and width; --weights and --alpha need a name of the catalog")
    if keras_suffix(path) or path.suffix.lower() in SUFFIXES:
        return KerasSource(load_keras(path), str(path), size=options.size)
    if path.suffix.lower() == ".tflite" or is_lite(path):
        return LiteSource(path, options.size)
    if is_saved_model(path):
        return SavedModelSource(path, options.size)
    if path.exists() or path.suffix or len(path.parts) > 1:
        what = (
            "holds no saved_model.pb" if path.is_dir() else "has no known format" if path.exists() else "does not exist"
        )
        raise SourceError(
            f"{path} {what}; a model is a {', '.join(_FILES)} file, a SavedModel folder or a name of "
            "`python -m model catalog`"
        )
    architecture = catalog.find(options.source)
    network = catalog.build(architecture, options.weights, size=options.size, alpha=options.alpha)
    return KerasSource(network, architecture.name, architecture.pixels)


def signature_for(source: Source, options: ImportOptions) -> Signature:
    """The signature with its labels and its recipe. Raises SourceError when either is unknown or does not fit."""
    spec = source.spec
    labels = labels_for(spec.outputs, options.labels)
    signature = Signature(spec.height, spec.width, spec.channels, spec.dtype, labels, {})
    if options.recipe:
        return read_recipe(options.recipe, signature)
    pixels = options.pixels or source.pixels
    if spec.dtype != "float32":
        if options.pixels not in (None, "raw"):
            raise SourceError(f"the pixels are {options.pixels!r}; {source.origin} takes {spec.dtype}: only raw")
        pixels = (1.0, -128.0) if spec.dtype == "int8" else "raw"
    if pixels is None:
        raise SourceError(
            f"{source.origin} does not say how its pixels were scaled in training; name it with --pixels "
            f"({', '.join(PIXELS)}) or --recipe: with another scaling the model's predictions are wrong"
        )
    own = recipe(pixels, spec.height, spec.width, spec.channels, options.framing)
    signature = Signature(spec.height, spec.width, spec.channels, spec.dtype, labels, own)
    check_recipe(signature)
    return signature


def named(source: str) -> str:
    """An artifact's name, derived from its source: only a-z, 0-9 and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", Path(source).stem.lower()).strip("-")[:63] or "model"


def _engines(source: Source, wanted: Sequence[str]) -> tuple[str, ...]:
    for engine in wanted:
        if engine not in source.engines:
            raise SourceError(
                f"the engine is {engine!r}; {source.origin} can be exported to: {', '.join(source.engines)}"
            )
    return tuple(wanted) or source.engines


def _pixels(source: Source, options: ImportOptions) -> str:
    if options.recipe:
        return f"the recipe {options.recipe.name}"
    pixels = options.pixels or source.pixels
    return f"`{pixels}`" if isinstance(pixels, str) else "by the model's own quantisation"
