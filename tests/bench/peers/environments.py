"""Virtual environments of the peers, made once under build/peers/: Python, packages and size."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from infra.check.toolchain import Unavailable, environment
from infra.slim import slim
from tests.bench.parts import ROOT

BUILD = ROOT / "build" / "peers"
LOCK = ROOT / "functions" / "requirements.lock"
PINS = Path(__file__).with_name("pins")
_INSTALLERS = ("pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils-precedence")


@dataclass(frozen=True, slots=True)
class Environment:
    """`folder` is the virtual environment's."""

    name: str
    folder: Path

    @property
    def bin(self) -> Path:
        return self.folder / "bin"

    @property
    def site(self) -> Path:
        """The folder of its packages."""
        (found,) = self.folder.glob("lib/python*/site-packages")
        return found

    def versions(self) -> str:
        """The packages that were asked for, with their versions, in words."""
        found = {_plain(each.name): each.version for each in distributions(path=[str(self.site)])}
        asked = requirements(self.name).with_suffix(".txt")  # a lock names what comes along, too
        wanted = re.findall(r"^([\w.-]+)==", asked.read_text(), re.M)
        return ", ".join(f"{name} {found[_plain(name)]}" for name in wanted)

    def installed_mb(self) -> float:
        """Apparent size of the packages, without bytecode and without what installs packages."""
        tops = [top for top in self.site.iterdir() if not top.name.startswith(_INSTALLERS)]
        return sum(apparent_mb(top) for top in tops)


def apparent_mb(path: Path) -> float:
    """The size of a file, or of all files below a folder without bytecode."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(each.lstat().st_size for each in files if each.is_file() and each.suffix != ".pyc") / 1e6


def requirements(name: str) -> Path:
    """What is installed in an environment: ours is the worker's."""
    return LOCK if name == "ours" else PINS / f"{name}.txt"


def prepare(names: Iterable[str]) -> dict[str, Environment]:
    """Those that can be had, made where they are not there or have changed; of others stderr says why."""
    found = {}
    for name in dict.fromkeys(names):
        start = time.perf_counter()
        try:
            made = Environment(name, environment(BUILD / name, requirements(name)).parent.parent)
            if name == "ours":
                slim(made.folder)  # as the Dockerfile does
            if name == "beam":
                _our_pillow(made)
        except Unavailable as exc:
            print(f"{name} is left out: its environment cannot be made: {exc}", file=sys.stderr)
            continue
        found[name] = made
        print(f"the environment {name} was ready after {time.perf_counter() - start:.0f} s", file=sys.stderr)
    return found


def _our_pillow(beam: Environment) -> None:
    """As docs/bulk.md has it: Beam holds Pillow below ours, and uses it in its examples alone."""
    (pinned,) = re.findall(r"^pillow==(.*)$", (ROOT / "functions" / "requirements.txt").read_text(), re.M)
    if f"pillow {pinned}" not in {f"{each.name} {each.version}" for each in distributions(path=[str(beam.site)])}:
        command = [str(beam.bin / "python"), "-m", "pip", "install", "--quiet", "--no-deps", f"pillow=={pinned}"]
        if subprocess.run(command, check=False).returncode:
            raise Unavailable(f"pillow {pinned} cannot be installed")


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
