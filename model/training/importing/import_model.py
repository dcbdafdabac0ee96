"""The import: a model from elsewhere, opened without running its code, becomes an artifact with its own recipe."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model.artifact.load import Artifact
from model.engines.base import Signature
from model.preprocessing.recipe import check_recipe
from model.training.errors import SourceError
from model.training.export.calibration_data import folder_trial
from model.training.export.package import pack
from model.training.export.source import Source
from model.training.export.variants import Product
from model.training.importing import catalog
from model.training.importing.keras_source import KerasSource
from model.training.importing.labels import labels_for
from model.training.importing.litert_source import LiteSource
from model.training.importing.recipe import PIXELS, read_recipe, recipe
from model.training.importing.safe_keras import load_keras
from model.training.importing.savedmodel_source import SavedModelSource, is_saved_model

_FILES = ".keras", ".h5", ".tflite"


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be imported, and what its file does not say.

    `source`: an architecture of the catalog, a .keras, .h5 or .tflite file, or a SavedModel folder. `pixels`: a row of
    recipe.PIXELS, or `recipe`, a JSON file; neither when the source is known. `weights`, `alpha`: of an architecture.
    `data`: images to try smaller forms on (see `folders.read_images`), of which there are none without it.
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


def import_model(order: Order, out: Path) -> Artifact:
    """Make the artifact in `out`. Raises SourceError, DatasetError or ExportError, naming what is wrong and what would
    be right."""
    source = open_source(order)
    engines = _engines(source, order.engines)
    signature = signature_for(source, order)
    changes = f" {source.changes[0].upper()}{source.changes[1:]}." if source.changes else ""
    origin = Path(order.source).name
    told = f"Imported from `{origin}` by `python -m model import`.\nPixels: {_said(source, order)}.{changes}"
    trial = folder_trial(order.data, signature) if order.data else None
    product = Product(source, signature, order.name or named(order.source), order.version, engines, trial)
    return pack(product, out, lambda artifact: told)


def open_source(order: Order) -> Source:
    """The model that an order names."""
    path = Path(order.source)
    if path.exists() and (order.weights, order.alpha) != (catalog.IMAGENET, 1.0):
        raise SourceError(f"{path} has its own weights and width; --weights and --alpha are for a name of the catalog")
    if path.suffix in (".keras", ".h5"):
        return KerasSource(load_keras(path), str(path), size=order.size)
    if path.suffix == ".tflite":
        return LiteSource(path, order.size)
    if is_saved_model(path):
        return SavedModelSource(path, order.size)
    if path.exists() or path.suffix or len(path.parts) > 1:
        what = (
            "holds no saved_model.pb"
            if path.is_dir()
            else "is no kind that is known"
            if path.exists()
            else "is not there"
        )
        raise SourceError(
            f"{path} {what}; a model is a {', '.join(_FILES)} file, a SavedModel folder or a name of "
            "`python -m model catalog`"
        )
    architecture = catalog.find(order.source)
    network = catalog.build(architecture, order.weights, size=order.size, alpha=order.alpha)
    return KerasSource(network, architecture.name, architecture.pixels)


def signature_for(source: Source, order: Order) -> Signature:
    """The signature with its labels and its recipe. Raises SourceError when either is not known or does not fit."""
    form = source.form
    labels = labels_for(form.outputs, order.labels)
    signature = Signature(form.height, form.width, form.channels, form.dtype, labels, {})
    if order.recipe:
        return read_recipe(order.recipe, signature)
    pixels = order.pixels or source.pixels
    if form.dtype != "float32":
        if order.pixels not in (None, "raw"):
            raise SourceError(f"the pixels are {order.pixels!r}; {source.origin} takes {form.dtype}: only raw")
        pixels = (1.0, -128.0) if form.dtype == "int8" else "raw"
    if pixels is None:
        raise SourceError(
            f"{source.origin} does not say how its pixels were scaled in training; say it with --pixels "
            f"({', '.join(PIXELS)}) or --recipe: a model that is served otherwise than it was trained answers wrongly"
        )
    own = recipe(pixels, form.height, form.width, form.channels, order.framing)
    signature = Signature(form.height, form.width, form.channels, form.dtype, labels, own)
    check_recipe(signature)
    return signature


def named(source: str) -> str:
    """An artifact's name from its source's: lower-case letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", Path(source).stem.lower()).strip("-")[:63] or "model"


def _engines(source: Source, wanted: Sequence[str]) -> tuple[str, ...]:
    for engine in wanted:
        if engine not in source.engines:
            raise SourceError(f"the engine is {engine!r}; {source.origin} can be had for: {', '.join(source.engines)}")
    return tuple(wanted) or source.engines


def _said(source: Source, order: Order) -> str:
    if order.recipe:
        return f"the recipe {order.recipe.name}"
    pixels = order.pixels or source.pixels
    return f"`{pixels}`" if isinstance(pixels, str) else "as the model's own numbers say"
