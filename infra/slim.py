"""Shrinks the worker's image: `python slim.py VENV` deletes files that the worker never loads, and prints their size.

The Dockerfile runs it, and so does a test that then imports every entry point. Standard library only.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

# Glob patterns of files to delete in the virtual environment, in this order, with the reasons.
NEVER_LOADED = {
    "bin/pip*": "an image needs no installer",
    "lib/*/site-packages/pip": "an image needs no installer",
    "lib/*/site-packages/pip-*": "an image needs no installer",
    "lib/*/site-packages/setuptools*": "builds packages; Python 3.12 or newer does not install it",
    "lib/*/site-packages/pkg_resources": "part of setuptools",
    "lib/*/site-packages/*distutils*": "part of setuptools; its .pth file slows every start of Python",
    "lib/*/site-packages/*-nspkg.pth": "namespace packages, which Python supports itself; takes 5 ms of every start",
    "lib/*/site-packages/ai_edge_litert/libLiteRtWebGpuAccelerator.so": "scoring on a GPU through WebGPU",
    "lib/*/site-packages/ai_edge_litert/vendors": "compilers for the accelerators of phones and other devices",
    "lib/*/site-packages/ai_edge_litert/tools": "a benchmark, and writers of models",
    "lib/*/site-packages/ai_edge_litert/aot": "compiles models ahead of time",
    "lib/*/site-packages/onnxruntime/transformers": "rewrites models before they are served",
    "lib/*/site-packages/onnxruntime/quantization": "makes models smaller",
    "lib/*/site-packages/onnxruntime/tools": "writers of models",
    "lib/*/site-packages/numpy/f2py": "wraps Fortran",
    "lib/*/site-packages/numpy/distutils": "builds extensions",
    "lib/*/site-packages/**/tests": "tests of other projects",
    "lib/*/site-packages/**/*.pyi": "for type checkers",
}


def slim(venv: Path) -> dict[str, int]:
    """Delete the files; returns the bytes that each pattern freed."""
    return {pattern: sum(_delete(path) for path in list(venv.glob(pattern))) for pattern in NEVER_LOADED}


def size(path: Path) -> int:
    """Apparent bytes of a file, or of all files in a folder, without following links."""
    if path.is_dir() and not path.is_symlink():
        return sum(size(each) for each in path.iterdir())
    return path.lstat().st_size


def _delete(path: Path) -> int:
    if not path.exists():  # deleted with its folder
        return 0
    freed = size(path)
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    return freed


def main() -> None:
    """Print the bytes that each pattern freed, and the bytes that are left."""
    venv = Path(sys.argv[1])
    for pattern, freed in slim(venv).items():
        print(f"{freed:>12,}  {pattern}: {NEVER_LOADED[pattern]}")
    print(f"{size(venv):>12,}  left")


if __name__ == "__main__":
    main()
