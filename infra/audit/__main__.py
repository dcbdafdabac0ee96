"""`make audit`: is a vulnerability known in what is deployed? Says so plainly when no advisory service could be asked.

pip-audit takes a service that knows nothing for one that has nothing to tell. So it is first asked of a release that is
known to be vulnerable: who has nothing to say of that one has not audited the others either.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "functions" / "requirements.lock"
CANARY = "pillow==5.0.0"
_PIP_AUDIT = (sys.executable, "-m", "pip_audit", "--strict", "--disable-pip", "--no-deps", "--progress-spinner=off")

CLEAN, VULNERABLE, NOT_AUDITED = 0, 1, 3


class NotAudited(Exception):
    """No advisory service could be asked; the sentence says why."""


def advisories(said: str, complaint: str) -> dict[str, list[str]]:
    """Advisories by package and version, from pip-audit's JSON; raises NotAudited where it audited less than all."""
    try:
        found: list[dict[str, Any]] = json.loads(said)["dependencies"]
    except (ValueError, KeyError, TypeError):
        raise NotAudited(
            complaint.strip().splitlines()[-1] if complaint.strip() else "pip-audit said nothing"
        ) from None
    for each in found:
        if "skip_reason" in each:
            raise NotAudited(each["skip_reason"])
    return {f"{each['name']} {each['version']}": [vuln["id"] for vuln in each["vulns"]] for each in found}


def verdict(canary: dict[str, list[str]], deployed: dict[str, list[str]]) -> tuple[int, str]:
    """The exit code and what to say. Raises NotAudited when the service does not know what everybody knows."""
    if not any(canary.values()):
        raise NotAudited(f"the advisory service knows nothing of {CANARY}, so its silence says nothing")
    known = {name: ids for name, ids in deployed.items() if ids}
    if not known:
        return CLEAN, f"audited: {len(deployed)} packages, no known vulnerability"
    lines = [f"  {name}: {', '.join(ids)}" for name, ids in known.items()]
    return VULNERABLE, "\n".join([f"audited: {len(known)} of {len(deployed)} packages are vulnerable", *lines])


def main() -> int:
    """0: no known vulnerability. 1: some. 3: not audited."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            known = Path(folder) / "canary.txt"
            known.write_text(CANARY)
            code, said = verdict(_ask(known), _ask(LOCK))
    except NotAudited as exc:
        print(f"NOT AUDITED: {exc}", file=sys.stderr)
        return NOT_AUDITED
    print(said)
    return code


def _ask(requirements: Path) -> dict[str, list[str]]:
    command = [*_PIP_AUDIT, "--format", "json", "-r", str(requirements)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return advisories(done.stdout, done.stderr)


if __name__ == "__main__":
    sys.exit(main())
