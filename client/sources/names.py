"""Names that others chose, such as those of entries of archives and of objects, as names below a folder."""

from __future__ import annotations

import re

_DRIVE = re.compile(r"[A-Za-z]:")


def cleaned(name: str) -> str:
    """Return a relative path with `/` that leads nowhere else.

    Drives (`C:`), empty parts, `.` and `..` are removed, `\\` separates parts, and NUL becomes `_`.
    """
    parts = name.replace("\0", "_").replace("\\", "/").split("/")
    kept = [part for part in parts if part not in ("", ".", "..")]
    if kept and (drive := _DRIVE.match(kept[0])):
        kept[0] = kept[0][drive.end() :]
    return "/".join(part for part in kept if part not in ("", ".", ".."))
