"""Prepares the tools of the checks: terraform, an environment for Python tools, checkov, and the providers' schemas.

Everything is in build/infra-check/ and is created at the first use. Standard library only, so any Python can run it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.check import schema

ROOT = Path(__file__).resolve().parents[2]
INFRA = ROOT / "infra"
BUILD = ROOT / "build" / "infra-check"

_HERE = Path(__file__).parent
_TYPE = re.compile(r'^(resource|data) "(google_\w+)"', re.M)


class Unavailable(Exception):
    """A tool that the checks need is not available; the message names it and how to get it."""


@dataclass(frozen=True, slots=True)
class Toolchain:
    """The terraform binary, the Python of the tools, the providers' schemas, and the Python of checkov."""

    terraform: str
    python: Path
    schemas: Mapping[str, Mapping[str, Path]]  # a file by version, the oldest first, and provider
    checkov: Path

    @property
    def newest(self) -> Mapping[str, Path]:
        """A schema file by provider, in the newest version."""
        return list(self.schemas.values())[-1]


def prepare(say: Callable[[str], None] = lambda text: None) -> Toolchain:
    """Find or create everything, at first in a minute or two; `say` receives what is created. Raises Unavailable."""
    terraform = shutil.which("terraform")
    if terraform is None:
        raise Unavailable("terraform is not installed (1.9 or newer: developer.hashicorp.com/terraform/install)")
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the tests and `make infra-check` may run at the same time
        python = environment(BUILD / "venv", _HERE / "requirements.txt", say)
        checkov = environment(BUILD / "checkov", _HERE / "checkov.txt", say)
        return Toolchain(terraform, python, _schemas(python, say), checkov)


def environment(venv: Path, requirements: Path, say: Callable[[str], None] = lambda text: None) -> Path:
    """The Python of an environment with these requirements; created again when they change. Raises Unavailable."""
    python, stamp = venv / "bin" / "python", venv / "stamp"
    wanted = _digest(requirements)
    if not stamp.is_file() or stamp.read_text() != wanted:
        say(f"creating {venv.relative_to(ROOT)} ... ")
        shutil.rmtree(venv, ignore_errors=True)
        _run(sys.executable, "-m", "venv", str(venv))
        _run(str(python), "-m", "pip", "install", "--quiet", "-r", str(requirements))
        stamp.write_text(wanted)
    return python


def _schemas(python: Path, say: Callable[[str], None]) -> dict[str, dict[str, Path]]:
    """A schema file by version and provider, with the types that the *.tf files and the examples use."""
    files = [*INFRA.glob("*.tf"), *INFRA.glob("examples/*/*.tf")]
    texts = [file.read_text() for file in sorted(files)]
    wanted = sorted(
        {f"{'data.' if kind == 'data' else ''}{name}" for text in texts for kind, name in _TYPE.findall(text)}
    )
    folder = BUILD / "schemas" / _digest(_HERE / "schemas.txt", Path(schema.__file__), " ".join(wanted))
    if not folder.is_dir():
        say("reading the providers' schemas ... ")
        shutil.rmtree(folder.parent, ignore_errors=True)
        making = folder.with_name("unfinished")
        for wheel in _wheels(python):
            document = schema.read(wheel, wanted)
            path = making / document["version"] / f"{document['name']}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(document))
        making.rename(folder)
    versions = sorted(folder.iterdir(), key=lambda version: [int(number) for number in version.name.split(".")])
    return {version.name: {file.stem: file for file in version.iterdir()} for version in versions}


def _wheels(python: Path) -> list[Path]:
    """The packages with the providers' schemas, downloaded once."""
    packages = _HERE / "schemas.txt"
    folder = BUILD / f"wheels-{_digest(packages)}"
    if not folder.is_dir():
        making = BUILD / "wheels"
        shutil.rmtree(making, ignore_errors=True)
        command = (str(python), "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:")
        for package in re.findall(r"^[\w-]+==.+$", packages.read_text(), re.M):  # pip takes one version of a package
            _run(*command, "-d", str(making), package)
        making.rename(folder)
    return sorted(folder.glob("*.whl"))


def _digest(*parts: Path | str) -> str:
    joined = "\n".join(part.read_text() if isinstance(part, Path) else part for part in parts)
    return hashlib.sha256(joined.encode()).hexdigest()[:12]


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        output = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise Unavailable(f"{' '.join(command[1:5])} failed: {output[-1] if output else done.returncode}")
