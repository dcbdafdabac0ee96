"""Runs Google's clients of other languages, which lie ready to run in ../shared/clients."""

from __future__ import annotations

import shutil
import subprocess

from tests.conftest import absent, data_folder


def run(language: str, *words: str, limit_s: float) -> str:
    """The output of the cases of a language, all of which pass; a failure shows it. Skips where they cannot run."""
    program = data_folder().parent / "clients" / "run"
    if not program.is_file():
        absent(f"no clients at {program.parent}: set SHARED")
    for tool in ("java", "openssl") if language == "java" else ("xz",):
        if not shutil.which(tool):
            absent(f"{tool} is not installed")
    done = subprocess.run(
        [program, language, *words], capture_output=True, text=True, timeout=limit_s, errors="replace"
    )
    assert done.returncode == 0, f"{done.stdout[-20_000:]}\n{done.stderr[-2_000:]}"
    return "\n" + done.stdout
