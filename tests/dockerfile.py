"""Builds what a Dockerfile describes in a folder, step by step, without Docker.

Absolute paths are those below the folder; both stages share it, and the machine's own Python stands in for the image's.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

_ABSOLUTE = re.compile(r"(?<=[\s=:])/(?=\w)")
_OF_THE_MACHINE = ("useradd ",)
"""Commands that would change more than the folder."""


class BuildFailed(Exception):
    """A step failed; the message is what it said."""


@dataclass
class Image:
    """The built image: its folder, environment and command."""

    folder: Path
    workdir: Path
    env: dict[str, str] = field(default_factory=dict)
    command: list[str] = field(default_factory=list)


def build(checkout: Path, folder: Path, given: Mapping[str, str] | None = None, file: str = "Dockerfile") -> Image:
    """Run all steps of a Dockerfile of the checkout in an empty folder; `given`: its arguments. Raises BuildFailed."""
    tools = folder / "usr" / "bin"
    tools.mkdir(parents=True)
    (tools / "python").symlink_to(vars(sys)["_base_executable"])
    image = Image(folder, folder)
    arguments: dict[str, str] = {}
    for word, rest in instructions((checkout / file).read_text()):
        match word:
            case "FROM":
                image.workdir, image.env = folder, {"PATH": f"{tools}:/usr/bin:/bin"}
            case "ARG":
                name, _, default = rest.partition("=")
                arguments[name] = (given or {}).get(name, default)
            case "WORKDIR":
                image.workdir = folder / rest.lstrip("/")
                image.workdir.mkdir(parents=True)
            case "COPY":
                _copy(checkout, image, Template(rest).safe_substitute(arguments).split())
            case "ENV":
                pairs = (pair.split("=", 1) for pair in shlex.split(_ABSOLUTE.sub(f"{folder}/", f" {rest}")))
                image.env |= {name: Template(value).substitute(image.env) for name, value in pairs}
            case "RUN":
                _run(image, Template(rest).safe_substitute(arguments))
            case "CMD":
                image.command = json.loads(rest)
            case _:
                assert word in {"USER", "EXPOSE"}, f"{word} is not understood here"
    return image


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Each instruction and its arguments, without comments, on one line."""
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for line in lines.replace("\\\n", " ").splitlines():
        if line:
            word, _, rest = line.partition(" ")
            yield word, rest


def _copy(checkout: Path, image: Image, words: list[str]) -> None:
    if words[0].startswith("--from="):
        assert words[1] == words[2], "stages share a folder here"
        return
    *sources, target = words
    place = image.folder / target.lstrip("/") if target.startswith("/") else image.workdir / target
    left_out = ignored(checkout)
    for source in sources:
        files = [checkout / source] if (checkout / source).is_file() else (checkout / source).rglob("*")
        for file in files:
            if file.is_file() and not left_out(file.relative_to(checkout).as_posix()):
                to = place / (file.name if file == checkout / source else file.relative_to(checkout / source))
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(file, to)


def ignored(checkout: Path) -> Callable[[str], bool]:
    """Whether .dockerignore leaves a file out: the last line that matches it, or a folder above it, decides."""
    rules = []
    for line in (checkout / ".dockerignore").read_text().split():
        pattern = re.escape(line.lstrip("!")).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*")
        rules.append((re.compile(f"{pattern}(/.*)?"), not line.startswith("!")))

    def left_out(path: str) -> bool:
        return next(out for rule, out in reversed(rules) if rule.fullmatch(path))

    return left_out


def _run(image: Image, command: str) -> None:
    if command.startswith(_OF_THE_MACHINE):
        return
    done = subprocess.run(
        ["sh", "-e", "-c", _ABSOLUTE.sub(f"{image.folder}/", f" {command}")],
        cwd=image.workdir,
        env={**os.environ, "PYTHONPATH": "", **image.env},  # pip's index, cache and proxy are the machine's
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BuildFailed(done.stderr or done.stdout)
