"""Symbolic links in untrusted folders. Standard library only, so that clients may import it."""

from __future__ import annotations

import os
from pathlib import Path


def leads_out(path: Path, folder: Path) -> bool:
    """Whether a symbolic link takes the file or folder at `path` outside of `folder`."""
    return not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))
