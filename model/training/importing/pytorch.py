"""Refuses PyTorch's own files: they hold a pickle, which runs code when it is loaded, or weights without a network."""

from __future__ import annotations

import zipfile
from pathlib import Path

from model.training.errors import SourceError

_PICKLES = ".pth", ".pt", ".pkl", ".pickle", ".bin", ".ckpt", ".joblib"
_WEIGHTS = ".safetensors"

# The first bytes of a pickle: its opcode PROTO and a version.
_PROTOCOLS = tuple(bytes((0x80, version)) for version in range(2, 6))

_REMEDY = "export the network from PyTorch with torch.onnx.export (docs/models.md) and import the .onnx file"


def refuse_pickle(path: Path) -> None:
    """Raise SourceError when a file's bytes are those of a pickle, whatever its name."""
    if _is_pickle(path):
        raise _pickled(path)


def refuse_by_name(path: Path) -> None:
    """Raise SourceError when a file of an unknown format has a name of PyTorch's files."""
    if path.suffix.lower() == _WEIGHTS:
        raise SourceError(
            f"{path} holds weights without the network that they are for: import its folder if it has a config.json of "
            f"Hugging Face, or {_REMEDY}"
        )
    if path.suffix.lower() in _PICKLES:
        raise _pickled(path)


def _pickled(path: Path) -> SourceError:
    return SourceError(f"{path} holds a pickle, which runs code when it is loaded, so it is not: {_REMEDY}")


def _is_pickle(path: Path) -> bool:
    """Whether a file is a pickle, or a zip with one, as PyTorch writes it."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        if file.read(2) in _PROTOCOLS:
            return True
    try:
        with zipfile.ZipFile(path) as packed:
            return any(name.endswith("/data.pkl") for name in packed.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False
