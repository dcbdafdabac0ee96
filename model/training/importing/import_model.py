"""The import: loads a model file without running its code, and packages it as an artifact with its own recipe."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from model.artifact.load import Artifact
from model.engines.base import Signature
from model.engines.onnx_check import is_onnx
from model.preprocessing.recipe import check_recipe
from model.text import quoted
from model.training.errors import SourceError
from model.training.export.calibration_data import read_calibration_folder
from model.training.export.package import pack
from model.training.export.progress import say
from model.training.export.source import Choice, Source
from model.training.export.variants import ExportJob
from model.training.importing import catalog, model_folder
from model.training.importing.archive import is_archive, unpacked
from model.training.importing.bucket_files import downloaded, is_address
from model.training.importing.keras_file import SUFFIXES, keras_suffix
from model.training.importing.keras_source import KerasSource
from model.training.importing.labels import labels_for
from model.training.importing.litert_source import LiteSource, is_lite
from model.training.importing.onnx_limits import OnnxLimits
from model.training.importing.outputs import described, meaning_of
from model.training.importing.pixels import pixels_of, values_of, warn_of_even_scores, warn_of_scaling
from model.training.importing.pytorch import refuse_by_name, refuse_pickle
from model.training.importing.recipe import read_recipe, recipe
from model.training.importing.safe_keras import load_with_loss
from model.training.importing.savedmodel_source import SavedModelSource, is_saved_model
from model.training.importing.stated import NOTHING, Stated
from model.training.importing.tensorflow_js import is_tensorflow_js, open_tensorflow_js

_FILES = *SUFFIXES, ".tflite", ".onnx"


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What to import, and the information that its file lacks.

    `source`: a name of the catalog, a .keras, .h5, .tflite or .onnx file, a SavedModel folder, a model.json of
    TensorFlow.js or its folder, a zip with one, a folder with .onnx files or model.safetensors and their configuration,
    or `gs://bucket/prefix` of one of these. `file`: the .onnx file of a folder. `pixels`: a key of recipe.PIXELS or
    `torchvision:NAME`, or `recipe`, a JSON file; neither when the source is known. `outputs`: the meaning of the
    model's numbers, one of model.engines.outputs.ROWS; None when the file says it. `stated`: what the configuration of
    a folder says. `threshold`: the score from which on an image has a label, for a multi-label model. `output`,
    `signature`: the names of the output and of the signature, where there are several. `limits`: those of an ONNX file.
    `weights`, `alpha`: for an architecture. `data`: images to compare smaller variants on (see `folders.read_images`);
    without it there are none. `quick`: see ExportJob.
    """

    source: str
    name: str = ""
    version: str = "1.0.0"
    labels: Path | None = None
    pixels: str | None = None
    recipe: Path | None = None
    outputs: str | None = None
    file: str | None = None
    stated: Stated = NOTHING
    threshold: float | None = None
    output: str | None = None
    signature: str | None = None
    limits: OnnxLimits = field(default_factory=OnnxLimits)
    framing: str = "crop"
    weights: str = catalog.IMAGENET
    alpha: float = 1.0
    size: int = 0
    engines: tuple[str, ...] = ()
    data: Path | None = None
    quick: bool = False


def import_model(options: ImportOptions, out: Path) -> Artifact:
    """Make the artifact in `out`. Raises SourceError, DatasetError or ExportError, which names the problem and the
    allowed values."""
    if is_address(options.source):
        with downloaded(options.source, options.file, options.limits.size) as copy:
            return _import_local(replace(options, source=str(copy)), out, options.source)
    return _import_local(options, out, options.source)


def _import_local(options: ImportOptions, out: Path, given: str) -> Artifact:
    """Import what is on this machine; `given` is what the user named."""
    path = Path(options.source)
    refuse_pickle(path)
    if model_folder.is_model_folder(path):
        return _import_folder(options, out, given)
    if is_archive(path):
        with unpacked(path) as inner:
            found = replace(options, source=str(inner.model), labels=options.labels or inner.labels)
            return _import_local(found, out, given)
    if options.file:
        raise SourceError(f"--file is {quoted(options.file)}, and {given} is no folder with .onnx files: leave it out")
    return _import(options, out, given)


def _import_folder(options: ImportOptions, out: Path, given: str) -> Artifact:
    """Import an ONNX file or the weights of a folder with what the configuration next to it says."""
    folder = Path(options.source)
    stated = model_folder.read_stated(folder, pixels=options.recipe is None, labels=options.labels is None)
    stated.check_answers(options.pixels, options.framing)
    if not model_folder.onnx_files(folder):
        if options.file:
            raise SourceError(f"--file is {quoted(options.file)}; {given} holds no .onnx file to choose from")
        return _import(replace(options, stated=stated), out, given)
    from model.training.importing.onnx_choice import choose_file  # here, because they need the package onnx
    from model.training.importing.onnx_shape import with_shape

    size = _wanted_size(options, stated)
    with tempfile.TemporaryDirectory(prefix=f"{folder.name[:40]}-") as place:

        def prepared(file: Path) -> ImportOptions:
            copy = Path(place, file.relative_to(folder))
            path = file if stated is NOTHING else with_shape(file, size, options.limits, copy)
            return replace(options, source=str(path), stated=stated)

        def opened(file: Path) -> tuple[Source, Signature]:
            source = open_source(replace(prepared(file), engines=("onnx",)))
            return source, signature_for(source, prepared(file))

        try:
            file = model_folder.file_of(folder, options.file)
            if file is None:
                files, names = model_folder.files_to_compare(folder, has_images=options.data is not None)
                file = choose_file(files, names, options.data or folder, opened, quick=options.quick)
            return _import(prepared(file), out, given)
        except SourceError as exc:
            raise SourceError(str(exc).replace(place, str(folder)).replace(str(folder), given)) from exc


def _import(options: ImportOptions, out: Path, given: str) -> Artifact:
    """Import the model of the options; `given` is what the user named."""
    source = open_source(options)
    engines = _engines(source, options.engines)
    signature = signature_for(source, options)
    labels = "Labels: ImageNet's, as none were named. " if _guesses_labels(source, options) else ""
    facts = f"Pixels: {_pixels(source, options)}. {labels}{_choice(options)}{described(source, signature)}".rstrip()
    description = f"Imported from `{Path(given).name}` by `python -m model import`.\n{facts}"
    trial = read_calibration_folder(options.data, signature) if options.data else None
    name = options.name or named(given)
    product = ExportJob(source, signature, name, options.version, engines, trial, options.quick)
    return pack(product, out, lambda artifact: description)


def open_source(options: ImportOptions) -> Source:
    """Load the model that the options name."""
    path = Path(options.source)
    if path.exists() and (options.weights, options.alpha) != (catalog.IMAGENET, 1.0):
        raise SourceError(f"{path} has its own weights and width; --weights and --alpha need a name of the catalog")
    choice = Choice(options.signature, options.output, options.size)
    if model_folder.is_model_folder(path):
        _refuse_signature(options)
        network = model_folder.network_of_weights(path, _wanted_size(options, options.stated))
        return KerasSource(network, str(path), size=options.size, output=options.output)
    if path.suffix.lower() == ".onnx" or is_onnx(path):
        _refuse_signature(options)
        return _onnx_source(path, choice, options)
    if keras_suffix(path) or path.suffix.lower() in SUFFIXES:
        network, loss = load_with_loss(path)
        _refuse_signature(options)
        return KerasSource(network, str(path), size=options.size, loss=loss, output=options.output)
    if path.suffix.lower() == ".tflite" or is_lite(path):
        return LiteSource(path, choice)
    if is_saved_model(path):
        return SavedModelSource(path, choice)
    if is_tensorflow_js(path):
        _refuse_signature(options)
        return open_tensorflow_js(path, choice)
    if path.is_file():
        refuse_by_name(path)
    if path.exists() or path.suffix or len(path.parts) > 1:
        if path.is_dir():
            what = "holds no saved_model.pb, no model.json and no .onnx file"
        else:
            what = "has no known format" if path.exists() else "does not exist"
        raise SourceError(
            f"{path} {what}; a model is a {', '.join(_FILES)} file, a SavedModel folder, a model.json of "
            "TensorFlow.js, a zip with one of them, a folder of Hugging Face or with an .onnx file, or a name of "
            "`python -m model catalog`"
        )
    _refuse_signature(options)
    architecture = catalog.find(options.source)
    network = catalog.build(architecture, options.weights, size=options.size, alpha=options.alpha)
    return KerasSource(network, architecture.name, architecture.pixels, output=options.output)


def _onnx_source(path: Path, choice: Choice, options: ImportOptions) -> Source:
    from model.training.importing.onnx_source import OnnxSource
    from model.training.importing.onnx_to_lite import can_convert

    # A LiteRT form of another program's making must score real images as the model does.
    lite = bool(options.data) and can_convert() and "litert" in (options.engines or ("litert",))
    return OnnxSource(path, choice, options.limits, lite=lite)


def signature_for(source: Source, options: ImportOptions) -> Signature:
    """The signature with its labels, its recipe and the meaning of its outputs. Raises SourceError when one of them is
    unknown or does not fit."""
    spec = source.spec
    stated = options.stated
    labels = labels_for(spec.outputs, options.labels, stated.labels or source.labels, stated.labels_from)
    if _guesses_labels(source, options):
        say(
            f"warning: {source.origin} does not say its labels; it gets ImageNet's, because it gives {spec.outputs:,} "
            "scores. If it was trained on other images, name its labels with --labels"
        )
    signature = Signature(spec.height, spec.width, spec.channels, spec.dtype, labels, {})
    if options.recipe:
        signature = read_recipe(options.recipe, signature)
        warn_of_scaling(source, signature)
    elif stated.recipes:
        own = stated.recipe_for(spec.height, spec.width, spec.channels, spec.dtype)
        signature = replace(signature, preprocessing=own)
        check_recipe(signature)
        warn_of_scaling(source, signature)
    else:
        own = recipe(pixels_of(source, options.pixels), spec.height, spec.width, spec.channels, options.framing)
        signature = replace(signature, preprocessing=own)
        check_recipe(signature)
    signature = replace(signature, outputs=meaning_of(source, options.outputs, signature, stated.outputs))
    signature = replace(signature, threshold=_threshold(options, signature))
    if signature.multi_label and not options.outputs:
        say(
            f"{source.origin} is multi-label: an image has the labels with a score of at least "
            f"{signature.threshold:g}; if its labels exclude each other, add --outputs probabilities"
        )
    if not stated.recipes:
        warn_of_even_scores(source, signature)
    return signature


def named(source: str) -> str:
    """An artifact's name, derived from its source: only a-z, 0-9 and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", Path(source).stem.lower()).strip("-")[:63] or "model"


def _wanted_size(options: ImportOptions, stated: Stated) -> tuple[int, int] | None:
    """The height and width for a model that takes images of any size; None when nothing says it."""
    return (options.size, options.size) if options.size else stated.size


def _engines(source: Source, wanted: Sequence[str]) -> tuple[str, ...]:
    for engine in wanted:
        if engine not in source.engines:
            raise SourceError(
                f"the engine is {engine!r}; {source.origin} can be exported to: {', '.join(source.engines)}"
            )
    return tuple(wanted) or source.engines


def _guesses_labels(source: Source, options: ImportOptions) -> bool:
    """Whether a model file gets ImageNet's labels by its count of scores alone."""
    is_unknown = options.labels is None and source.labels is None and options.stated.labels is None
    return is_unknown and Path(options.source).exists()


def _pixels(source: Source, options: ImportOptions) -> str:
    if options.recipe:
        return f"the recipe {options.recipe.name}"
    if options.stated.recipes:
        return f"as {Path(options.stated.where).name} says"
    pixels = pixels_of(source, options.pixels)
    return f"`{pixels}`" if isinstance(pixels, str) else f"{values_of(pixels)}, as its file says"


def _choice(options: ImportOptions) -> str:
    """A sentence for the model card about the signature and the output that were chosen."""
    names = {"signature": options.signature, "output": options.output}
    chosen = [f"its {what} `{name}`" for what, name in names.items() if name]
    return f"Served: {', '.join(chosen)}. " if chosen else ""


def _refuse_signature(options: ImportOptions) -> None:
    if options.signature:
        raise SourceError(
            f"the signature is {options.signature!r}; only SavedModel folders and .tflite files have signatures"
        )


def _threshold(options: ImportOptions, signature: Signature) -> float:
    if options.threshold is None:
        return signature.threshold
    if not signature.multi_label:
        raise SourceError(
            f"the threshold is {options.threshold:g}; only a multi-label model has one, and the labels of this one "
            f"exclude each other (outputs: {signature.outputs})"
        )
    if not 0 < options.threshold < 1:
        raise SourceError(f"the threshold is {options.threshold:g}; it must be above 0 and below 1")
    return options.threshold
