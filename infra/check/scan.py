"""Runs checkov on the plans. Each of its findings must be an exception in skips.toml, and each exception a finding.

checkov runs in a separate environment, on files only, without a platform key and without network requests.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

SKIPS = Path(__file__).with_name("skips.toml")

_COMMAND = (
    "-m",
    "checkov.main",
    "--framework",
    "terraform_plan",
    "--skip-download",
    "--quiet",
    "--compact",
    "-o",
    "json",
)

Report = Mapping[str, Any]


def run(python: Path, plans: Sequence[Path]) -> list[Report]:
    """checkov's reports on the plans. Raises RuntimeError when it checked nothing."""
    files = [word for plan in plans for word in ("-f", str(plan))]
    home = plans[0].parent  # hides the user's own configuration and keys
    done = subprocess.run(
        [str(python), *_COMMAND, *files],
        cwd=home,
        env={"PATH": os.environ["PATH"], "HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        output = json.loads(done.stdout)
    except ValueError as exc:
        raise RuntimeError(f"checkov failed:\n{done.stderr or done.stdout}") from exc
    reports = output if isinstance(output, list) else [output]
    if not all("results" in report for report in reports):
        raise RuntimeError(f"checkov checked nothing: {done.stdout}")
    return reports


def check(reports: Sequence[Report], skips: Mapping[str, Any]) -> Iterator[str]:
    """Yield findings without an exception, and exceptions without a finding."""
    found = {
        (each["check_id"], each["resource"], each["check_name"])
        for report in reports
        for each in report["results"]["failed_checks"]
    }
    argued = {(name, kind) for name, skip in skips.items() for kind in skip["on"]}
    for name, resource, title in sorted(found):
        if (name, _kind(resource)) not in argued:
            yield f"{resource}: {title} ({name})"
    for name, kind in sorted(argued - {(name, _kind(resource)) for name, resource, _ in found}):
        yield f"{SKIPS.name}: {name} is an exception for {kind}, where checkov finds nothing"


def skips() -> dict[str, Any]:
    """The exceptions, by checkov's id of the check."""
    return tomllib.loads(SKIPS.read_text())


def _kind(resource: str) -> str:
    """The type of a resource, from its address."""
    return re.sub(r"^module\.[^.]+\.", "", resource).partition(".")[0]
