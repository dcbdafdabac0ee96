"""Stages the source of a 2nd-gen function: `python -m infra.package` writes build/package/ and function-source.zip.

A function's source needs main.py and requirements.txt at its top, while the entry points are in functions/.
"""

from __future__ import annotations

import shutil
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("functions", "model")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "training", "requirements*", "__main__.py", "beam.py")
MAIN = '''"""The function's entry points: the entry points of functions/main.py."""

from functions.main import on_request, on_upload, predict, serve

__all__ = ["on_request", "on_upload", "predict", "serve"]
'''
_EPOCH = (1980, 1, 1, 0, 0, 0)


def stage(target: Path) -> Path:
    """Write the source folder and its archive under `target`; returns the archive. The archive is reproducible."""
    source = target / "source"
    shutil.rmtree(target, ignore_errors=True)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=LEFT_OUT)
    # The lock file's hashes make pip reject every other file.
    shutil.copy(ROOT / "functions" / "requirements.lock", source / "requirements.txt")
    (source / "main.py").write_text(MAIN)
    archive = target / "function-source.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(source.rglob("*")):
            if path.is_file():
                entry = zipfile.ZipInfo(path.relative_to(source).as_posix(), _EPOCH)
                entry.external_attr = 0o644 << 16
                packed.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return archive


def main() -> int:
    """Stage the source and print the archive's path and size."""
    archive = stage(ROOT / "build" / "package")
    print(f"{archive.relative_to(ROOT)}  {archive.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
