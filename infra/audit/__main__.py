"""`make audit`: whether the deployed packages have known vulnerabilities; fails clearly without an advisory service.

pip-audit cannot distinguish a service without data from one without findings. The audit therefore first asks about a
release that is known to be vulnerable; when the service knows nothing of it, nothing was audited.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# What the images of the worker and the page install; requirements.lock of functions holds a part of the others there.
LOCKS = [*sorted((ROOT / "functions").glob("requirements-*.lock")), ROOT / "client" / "requirements.lock"]
# A release with known vulnerabilities, to test the advisory service.
CANARY = "pillow==5.0.0"
_PIP_AUDIT = (sys.executable, "-m", "pip_audit", "--strict", "--disable-pip", "--no-deps", "--progress-spinner=off")

# Exit codes.
CLEAN, VULNERABLE, NOT_AUDITED = 0, 1, 3


class NotAudited(Exception):
    """No advisory service answered; the message gives the reason."""


def advisories(output: str, errors: str) -> dict[str, list[str]]:
    """Advisories by package and version, from pip-audit's JSON. Raises NotAudited when a package is missing."""
    try:
        found: list[dict[str, Any]] = json.loads(output)["dependencies"]
    except (ValueError, KeyError, TypeError):
        raise NotAudited(errors.strip().splitlines()[-1] if errors.strip() else "pip-audit printed nothing") from None
    for each in found:
        if "skip_reason" in each:
            raise NotAudited(each["skip_reason"])
    return {f"{each['name']} {each['version']}": [vuln["id"] for vuln in each["vulns"]] for each in found}


def verdict(canary: dict[str, list[str]], deployed: dict[str, list[str]]) -> tuple[int, str]:
    """The exit code and the report. Raises NotAudited when the service does not know the canary's vulnerabilities."""
    if not any(canary.values()):
        raise NotAudited(f"the advisory service knows no vulnerability of {CANARY}, so its results mean nothing")
    known = {name: ids for name, ids in deployed.items() if ids}
    if not known:
        return CLEAN, f"audited: {len(deployed)} packages, no known vulnerability"
    lines = [f"  {name}: {', '.join(ids)}" for name, ids in known.items()]
    return VULNERABLE, "\n".join([f"audited: {len(known)} of {len(deployed)} packages are vulnerable", *lines])


def main() -> int:
    """Run the audit. Returns 0 without known vulnerabilities, 1 with some, 3 when it could not audit."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            known = Path(folder) / "canary.txt"
            known.write_text(CANARY)
            canary, deployed = _ask(known), [_ask(lock) for lock in LOCKS]
            code, report = verdict(canary, {name: ids for found in deployed for name, ids in found.items()})
    except NotAudited as exc:
        print(f"NOT AUDITED: {exc}", file=sys.stderr)
        return NOT_AUDITED
    print(report)
    return code


def _ask(requirements: Path) -> dict[str, list[str]]:
    command = [*_PIP_AUDIT, "--format", "json", "-r", str(requirements)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return advisories(done.stdout, done.stderr)


if __name__ == "__main__":
    sys.exit(main())
