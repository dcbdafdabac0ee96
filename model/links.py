"""Symbolic links in folders that others may have filled. Standard library only, so that clients may import it."""

from __future__ import annotations

import os
from pathlib import Path


def leads_out(path: Path, folder: Path) -> bool:
    """Whether the file or folder at `path` is in truth outside of `folder`: a link on the way to it leads there."""
    return not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))
