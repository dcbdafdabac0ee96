"""Records running twins: each process has a folder in build/local with its log and environment."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from infra.local.worker import ROOT


def _folder() -> Path:
    """Return build/local in a checkout, and the user's cache folder where the package is installed."""
    if (ROOT / "pyproject.toml").is_file():
        return ROOT / "build" / "local"
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "predictions" / "local"


BUILD = _folder()


def own_folder() -> Path:
    """The folder of this process, build/local/PID. Folders of ended processes are removed."""
    for folder in BUILD.glob("[0-9]*"):
        if not _runs(int(folder.name)):
            shutil.rmtree(folder, ignore_errors=True)  # another twin may be removing it too
    return BUILD / str(os.getpid())


@contextlib.contextmanager
def written(env: Mapping[str, str]) -> Iterator[None]:
    """Write the environment to this process's folder, as shell lines, while the block runs."""
    path = own_folder() / "env"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.writelines(f"export {name}={shlex.quote(value)}\n" for name, value in env.items())
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def living() -> dict[int, str]:
    """The environments of the running twins by process id, the newest last."""
    found = {}
    for path in BUILD.glob("[0-9]*/env"):
        with contextlib.suppress(FileNotFoundError), path.open(encoding="utf-8") as file:
            try:
                # A lock rather than the process id, which another process may have after a reboot.
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                found[path.stat().st_mtime_ns, int(path.parent.name)] = file.read()
    return {pid: lines for (_, pid), lines in sorted(found.items())}


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # another user's process
    return True
