"""Converts an ONNX file to a SavedModel with onnx2tf, where that is installed: LiteRT's variants are made of it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import tensorflow as tf

from model.engines.savedmodel import SERVING
from model.engines.savedmodel_check import check_saved_model
from model.errors import ArtifactError
from model.text import shortened
from model.training.errors import SourceError
from model.training.export.progress import say
from model.training.export.source import Endpoints

# Seconds of a conversion. A network of 5,000,000 parameters takes one minute.
_SECONDS = 1_200

_CONVERT = """
import sys, onnx2tf
onnx2tf.convert(input_onnx_file_path=sys.argv[1], output_folder_path=sys.argv[2], output_signaturedefs=True)
"""


def can_convert() -> bool:
    """Whether onnx2tf is installed."""
    return importlib.util.find_spec("onnx2tf") is not None


def write_saved_model(path: Path, folder: Path) -> Endpoints:
    """Convert an ONNX file to a SavedModel in `folder`, in a process of its own. Raises SourceError."""
    say(f"litert: converting {path.name} with onnx2tf")
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])  # onnxsim is one
    with tempfile.TemporaryDirectory(prefix="onnx2tf-") as place:
        try:
            done = subprocess.run(
                [sys.executable, "-c", _CONVERT, str(path), place],
                env={**os.environ, "PATH": programs}, capture_output=True, text=True, timeout=_SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise SourceError(f"onnx2tf takes more than {_SECONDS:,} s") from None
        if done.returncode:
            said = done.stderr.strip().rpartition("\n")[2]
            raise SourceError(f"onnx2tf fails: {shortened(said, 200)}")
        return _moved(Path(place), folder)


def _moved(place: Path, folder: Path) -> Endpoints:
    """Move the parts of a SavedModel, without the LiteRT files that onnx2tf also makes."""
    folder.mkdir()
    for name in ("saved_model.pb", "variables"):
        shutil.move(place / name, folder / name)
    try:
        check_saved_model(folder)
    except ArtifactError as exc:
        raise SourceError(str(exc)) from exc
    (name,) = tf.saved_model.load(str(folder)).signatures[SERVING].structured_input_signature[1]
    return Endpoints((SERVING,), name)
