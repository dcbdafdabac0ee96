"""checkov over what Terraform plans: what it finds must be argued in skips.toml, and what is argued must be found.

It runs in an environment of its own, on files, without a platform's key: it asks nobody.
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
    """What checkov says of the plans. Raises RuntimeError where it looked at nothing."""
    files = [word for plan in plans for word in ("-f", str(plan))]
    home = plans[0].parent  # a person's own configuration and keys have no say here
    done = subprocess.run(
        [str(python), *_COMMAND, *files],
        cwd=home,
        env={"PATH": os.environ["PATH"], "HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        said = json.loads(done.stdout)
    except ValueError as exc:
        raise RuntimeError(f"checkov failed:\n{done.stderr or done.stdout}") from exc
    reports = said if isinstance(said, list) else [said]
    if not all("results" in report for report in reports):
        raise RuntimeError(f"checkov looked at nothing: {done.stdout}")
    return reports


def check(reports: Sequence[Report], skips: Mapping[str, Any]) -> Iterator[str]:
    """What is not argued, and arguments about nothing."""
    found = {
        (each["check_id"], each["resource"], each["check_name"])
        for report in reports
        for each in report["results"]["failed_checks"]
    }
    argued = {(name, kind) for name, skip in skips.items() for kind in skip["on"]}
    for name, resource, says in sorted(found):
        if (name, _kind(resource)) not in argued:
            yield f"{resource}: {says} ({name})"
    for name, kind in sorted(argued - {(name, _kind(resource)) for name, resource, _ in found}):
        yield f"{SKIPS.name}: {name} is argued for {kind}, where checkov no longer finds it"


def skips() -> dict[str, Any]:
    """What is argued, by checkov's name of the check."""
    return tomllib.loads(SKIPS.read_text())


def _kind(resource: str) -> str:
    """The type of a resource, from its address."""
    return re.sub(r"^module\.[^.]+\.", "", resource).partition(".")[0]
