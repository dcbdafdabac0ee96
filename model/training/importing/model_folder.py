"""Folders with an ONNX file, or with weights of a known architecture, and their configuration: Hugging Face
repositories, exports of timm, and plain folders.

`config.json` and `preprocessor_config.json` say the labels, the meaning of the outputs and the preprocessing. What they
do not say is asked for, as for any file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from model.text import listed, quoted
from model.training.errors import SourceError
from model.training.importing.architectures.build import architecture_of, build
from model.training.importing.architectures.weights import FILE, INDEX
from model.training.importing.fields import Fields, read_fields
from model.training.importing.stated import NOTHING, Stated
from model.training.importing.timm_config import is_timm, read_timm
from model.training.importing.transformers_config import read_labels, read_meaning
from model.training.importing.transformers_pixels import read_recipe

_CONFIG, _PREPROCESSOR = "config.json", "preprocessor_config.json"

# The name of the file of full precision, next to which others are quantised ones.
_NETWORK = "model"

# Folders of a repository that hold ONNX files.
_PLACES = ".", "onnx"

# Files with weights and without a network that can be run.
_WEIGHTS = "*.safetensors", "*.bin", "*.pth", "*.pt", "*.msgpack", "*.ckpt", "tf_model.h5"


def is_model_folder(path: Path) -> bool:
    """Whether a folder holds an ONNX file, or weights with a configuration, and no other kind of model."""
    return path.is_dir() and bool(onnx_files(path) or ((path / _CONFIG).is_file() and _weights(path)))


def onnx_files(folder: Path) -> list[Path]:
    """The ONNX files of a folder, the one that is called model first."""
    found = [file for place in _PLACES for file in sorted((folder / place).glob("*.onnx")) if file.is_file()]
    return sorted(found, key=lambda file: file.stem != _NETWORK)


def read_stated(folder: Path, *, pixels: bool = True, labels: bool = True) -> Stated:
    """What the configuration in a folder says; NOTHING without one. `pixels`, `labels`: whether these are wanted.

    Raises SourceError, which names what it does not understand.
    """
    config = read_fields(folder / _CONFIG) if (folder / _CONFIG).is_file() else None
    path = folder / _PREPROCESSOR
    if config is None and not path.is_file():
        return NOTHING
    if config and is_timm(config):
        return read_timm(config, pixels=pixels, labels=labels)
    model_type = config.values.get("model_type") if config else None
    model_type = model_type if isinstance(model_type, str) else None
    recipes = (read_recipe(read_fields(path), model_type),) if pixels and path.is_file() else ()
    if config is None:
        return Stated(recipes=recipes, where=str(path))
    named = read_labels(config) if labels else None
    return Stated(named, read_meaning(config), recipes, str(path), config.where)


def file_of(folder: Path, name: str | None) -> Path | None:
    """The ONNX file of a folder: the one with this name, or the only one. None when there are several without a name.

    Raises SourceError for a name that is not that of one of them.
    """
    files = onnx_files(folder)
    if name is None:
        return files[0] if len(files) == 1 else None
    wanted = (folder / name).resolve()
    for file in files:
        if file.resolve() == wanted or file.absolute() == (folder / name).absolute():
            return file
    raise SourceError(f"--file is {quoted(name)}; {folder} holds {listed(_names(folder, files))}")


def network_of_weights(folder: Path, size: tuple[int, int] | None) -> Any:
    """The keras.Model of a folder that holds weights and no ONNX file. `size`: see architectures.build.

    Raises SourceError, which says how to export a network that cannot be built.
    """
    config = read_fields(folder / _CONFIG)
    architecture = None if is_timm(config) else architecture_of(config)
    if architecture and any((folder / name).is_file() for name in (FILE, INDEX)):
        return build(folder, config, architecture, size)
    raise _without_network(folder, config)


def files_to_compare(folder: Path, *, has_images: bool) -> tuple[list[Path], list[str]]:
    """The ONNX files of a folder with several, and their names in it; the first is `model.onnx`, the network itself.

    Raises SourceError without images to compare them on, and when it is not certain which one is the network itself.
    """
    files = onnx_files(folder)
    names = _names(folder, files)
    if not has_images or sum(file.stem == _NETWORK for file in files) != 1:
        how = "" if has_images else ", or name images with --data to compare them"
        raise SourceError(f"{folder} holds {listed(names)}; choose one with --file{how}")
    return files, names


def _names(folder: Path, files: Sequence[Path]) -> list[str]:
    return [file.relative_to(folder).as_posix() for file in files]


def _without_network(folder: Path, config: Fields) -> SourceError:
    weights = _weights(folder)[0]
    if is_timm(config):
        how = "build it with timm.create_model, and export it with torch.onnx.export (docs/models.md)"
    else:
        how = f"pip install optimum-onnx, then optimum-cli export onnx --model {folder} {folder / 'onnx'}"
    what = "weights without a network"
    if weights.suffix in (".bin", ".pth", ".pt", ".ckpt"):
        what = "a pickle, which runs code when it is loaded"
    elif architecture_of(config):
        what = f"weights; of this architecture {FILE} could be imported"
    elif not is_timm(config):
        named = f"is {quoted(config.values['architectures'])}" if "architectures" in config else "is missing"
        what = f"weights; architectures {named}, and docs/models.md lists those that are built from weights"
    return SourceError(f"{folder} holds no .onnx file; {weights.name} holds {what}. Export it: {how}")


def _weights(folder: Path) -> list[Path]:
    """The files with weights in a folder, those without a pickle first."""
    return [file for pattern in _WEIGHTS for file in sorted(folder.glob(pattern))]
