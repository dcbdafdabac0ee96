"""Zip archives that hold one model, with or without its labels, as Teachable Machine exports them."""

from __future__ import annotations

import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from model.text import quoted, reason
from model.training.errors import SourceError
from model.training.importing.unpacking import check_zip

# Suffixes of models in a file, the files that a SavedModel and a model of TensorFlow.js hold, and suffixes of labels.
_MODELS, _SAVED, _JAVASCRIPT = (".keras", ".h5", ".hdf5", ".tflite", ".onnx"), "saved_model.pb", "model.json"
_LABELS = ".txt", ".json", ".csv"

# Names that every .keras file, itself a zip, holds.
_KERAS = {"config.json", "metadata.json"}

# The configuration of a folder of Hugging Face or timm, next to its .onnx files.
_CONFIG = "config.json"


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A model and its labels as files of this machine. `labels` is None when the archive holds none."""

    model: Path
    labels: Path | None


def is_archive(path: Path) -> bool:
    """Whether a file is a zip that is no model itself: no .keras file, and no .tflite file with a zip at its end."""
    if not path.is_file() or path.suffix.lower() in (".tflite", ".keras") or not zipfile.is_zipfile(path):
        return False
    with path.open("rb") as file:
        if file.read(4) != b"PK\x03\x04":
            return False
    with zipfile.ZipFile(path) as packed:
        return not _KERAS.issubset(packed.namelist())


@contextmanager
def unpacked(path: Path) -> Iterator[Unpacked]:
    """The model and the labels of an archive in a temporary folder. Raises SourceError, which lists what it holds."""
    with tempfile.TemporaryDirectory(prefix=f"{path.stem[:40]}-") as folder:
        try:
            with zipfile.ZipFile(path) as packed:
                check_zip(packed, path)
                entries = [(PurePosixPath(each.filename), each) for each in packed.infolist() if _is_content(each)]
                names = [name for name, _ in entries]
                model, labels = _model(path, names), _labels(path, names)
                for name, entry in entries:
                    if name == labels or _is_of(model, name):
                        _check_entry(path, name, entry, names)
                        _extract(packed, entry, Path(folder, *_inside(path, name)))
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, KeyError, OSError) as exc:
            why = reason(exc).replace(folder, str(path))
            raise SourceError(f"{path} cannot be unpacked: {why}") from exc
        try:
            yield Unpacked(Path(folder, *model.parts), Path(folder, *labels.parts) if labels else None)
        except SourceError as exc:  # which may name the temporary folder
            raise SourceError(str(exc).replace(folder, str(path))) from exc


def _is_content(entry: zipfile.ZipInfo) -> bool:
    name = entry.filename
    return not name.endswith("/") and not name.startswith("__MACOSX/") and not PurePosixPath(name).name.startswith(".")


def _model(path: Path, names: list[PurePosixPath]) -> PurePosixPath:
    """The model's file, its SavedModel folder, or the folder of its configuration and its .onnx files."""
    folders = [name.parent for name in names if name.name == _CONFIG]
    if len(folders) == 1 and any(name.suffix.lower() == ".onnx" and folders[0] in name.parents for name in names):
        return folders[0]
    found = [name for name in names if name.suffix.lower() in _MODELS]
    found += [name for name in names if name.name == _JAVASCRIPT]
    found += [name.parent for name in names if name.name == _SAVED]
    if len(found) != 1:
        what = f"{len(found)} models ({', '.join(map(str, found[:5]))})" if found else "no model"
        raise SourceError(
            f"{path} holds {what}; an archive must hold one {', '.join(_MODELS)} file, {_JAVASCRIPT} or SavedModel "
            "folder"
        )
    if not found[0].parts:
        raise SourceError(f"{path} holds a SavedModel without a folder of its own; unpack it and import the folder")
    return found[0]


def _is_of(model: PurePosixPath, name: PurePosixPath) -> bool:
    """Whether a file belongs to the model. Next to an .onnx file and a model.json lie others with its weights."""
    place = model.parent if model.suffix.lower() == ".onnx" or model.name == _JAVASCRIPT else model
    return model == name or place in name.parents


def _labels(path: Path, names: list[PurePosixPath]) -> PurePosixPath | None:
    """The file that is called labels; None without one."""
    found = [name for name in names if name.stem.lower() in ("labels", "label") and name.suffix.lower() in _LABELS]
    if len(found) > 1:
        raise SourceError(f"{path} holds {len(found)} files of labels ({found[0]}, {found[1]}); name one with --labels")
    return found[0] if found else None


def _inside(path: Path, name: PurePosixPath) -> tuple[str, ...]:
    """The parts of a name that leads into the folder. Raises SourceError for any other."""
    if name.is_absolute() or ".." in name.parts or "\\" in str(name) or ":" in str(name):
        raise SourceError(f"{path} holds {quoted(str(name))}, a name that leads out of the archive")
    return name.parts


def _check_entry(path: Path, name: PurePosixPath, entry: zipfile.ZipInfo, names: list[PurePosixPath]) -> None:
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise SourceError(f"{path} holds {quoted(str(name))}, a symbolic link; pack the file itself (zip without -y)")
    if names.count(name) > 1:
        raise SourceError(f"{path} holds {quoted(str(name))} more than once; which of them is meant is not certain")


def _extract(packed: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with packed.open(entry) as source, target.open("wb") as file:
        shutil.copyfileobj(source, file)
