"""Three networks trained on ImageNet: imports them from a folder of weights, and pushes them to a registry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from model.registry.aliases import STABLE
from model.registry.moves import set_alias
from model.registry.registry import Registry
from model.training.errors import SourceError

_FILES = {
    "mobilenet-v2": "tf2_mobilenet_v2_1.0_224_ptq.tflite",
    "efficientnet-lite0": "efficientnet-lite0.onnx",
    "mobilenet-v1": "mobilenet_v1_0.75_224_keras_fp32.npz",
}
"""The file of each model. The first model is the default where all are served: it is the fastest, and has features."""

NAMES = tuple(_FILES)
"""The models by their names in the registry."""

_LABELS = "imagenet_labels.txt"
"""The labels, where the folder has them: those of ImageNet, after one for the background."""

_VERSION = "1.0.0"

_RECIPE = Path(__file__).parents[1] / "recipes" / "efficientnet-lite0.json"


def missing(registry: Registry) -> list[str]:
    """The models that a registry has no alias `stable` of."""
    return [name for name in NAMES if STABLE not in registry.aliases(name)]


def import_pretrained(weights: Path, registry: Registry) -> Iterator[str]:
    """Import those of the models that the registry lacks, and yield the name of each that it has now as `stable`.

    Raises SourceError when a file is missing or cannot be used, before the first import where one is missing, and
    RegistryError.
    """
    wanted = missing(registry)
    if absent := [file for name, file in _FILES.items() if name in wanted and not (weights / file).is_file()]:
        raise SourceError(f"{weights} has no file {', '.join(absent)}; the models need {', '.join(_FILES.values())}")
    for name in wanted:
        if _VERSION not in registry.versions(name):
            _push(name, weights, registry)
        set_alias(registry, name, STABLE, _VERSION)
        yield name


def _push(name: str, weights: Path, registry: Registry) -> None:
    from model.training.importing.import_model import ImportOptions, import_model

    file, labels = str(weights / _FILES[name]), weights / _LABELS
    options = {
        "mobilenet-v2": ImportOptions(file),
        "efficientnet-lite0": ImportOptions(file, recipe=_RECIPE, outputs="logits"),
        "mobilenet-v1": ImportOptions("MobileNet", weights=file, alpha=0.75, engines=("litert",)),
    }[name]
    if labels.is_file():
        options = replace(options, labels=labels)
    with TemporaryDirectory() as folder:
        artifact = import_model(replace(options, name=name, version=_VERSION, quick=True), Path(folder) / name)
        registry.push(artifact.folder)
