"""Makes the worker's image small: `python slim.py VENV` deletes what the worker never loads, and says how much.

The Dockerfile runs it, and so does the test that then opens every entry point. Standard library only.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

NEVER_LOADED = {
    "bin/pip*": "it installs, and in an image nothing is installed any more",
    "lib/*/site-packages/pip": "the same",
    "lib/*/site-packages/pip-*": "the same",
    "lib/*/site-packages/setuptools*": "it builds packages; a venv of Python 3.12 or newer has none",
    "lib/*/site-packages/pkg_resources": "of setuptools",
    "lib/*/site-packages/*distutils*": "of setuptools: with its .pth every start of Python looks for it",
    "lib/*/site-packages/*-nspkg.pth": "joins packages of one name as Python itself does: it takes 5 ms of every start",
    "lib/*/site-packages/ai_edge_litert/libLiteRtWebGpuAccelerator.so": "scores on a graphics card that speaks WebGPU",
    "lib/*/site-packages/ai_edge_litert/vendors": "compilers for the chips of telephones and other accelerators",
    "lib/*/site-packages/ai_edge_litert/tools": "a benchmark, and what writes models",
    "lib/*/site-packages/ai_edge_litert/aot": "compiles models ahead of time",
    "lib/*/site-packages/numpy/f2py": "wraps Fortran",
    "lib/*/site-packages/numpy/distutils": "builds extensions",
    "lib/*/site-packages/**/tests": "the tests of others",
    "lib/*/site-packages/**/*.pyi": "for type checkers",
}
"""What goes, below the environment, and why. The order is that of deletion."""


def slim(venv: Path) -> dict[str, int]:
    """Delete all that is never loaded; gives the bytes that each pattern freed."""
    return {pattern: sum(_delete(path) for path in list(venv.glob(pattern))) for pattern in NEVER_LOADED}


def size(path: Path) -> int:
    """Apparent bytes of a file, or of all files below a folder; links are not followed."""
    if path.is_dir() and not path.is_symlink():
        return sum(size(each) for each in path.iterdir())
    return path.lstat().st_size


def _delete(path: Path) -> int:
    if not path.exists():  # it was below another that is gone
        return 0
    freed = size(path)
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    return freed


def main() -> None:
    """Say what each pattern freed, and what is left, in bytes."""
    venv = Path(sys.argv[1])
    for pattern, freed in slim(venv).items():
        print(f"{freed:>12,}  {pattern}: {NEVER_LOADED[pattern]}")
    print(f"{size(venv):>12,}  left")


if __name__ == "__main__":
    main()
