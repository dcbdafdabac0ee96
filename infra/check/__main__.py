"""`python -m infra.check`: runs every layer on infra/, one line each. Exit code 1 on a finding; needs Python 3.11."""

from __future__ import annotations

import argparse
import os
import sys
import time

from infra.check.layers import LAYERS
from infra.check.progress import Line
from infra.check.terraform import Outcome, attached, copy_files
from infra.check.toolchain import BUILD, Unavailable, prepare


def main() -> int:
    """Run the layers. Without the needed tools, skip the checks, or fail when the variable CI is set."""
    argparse.ArgumentParser(
        prog="python -m infra.check",
        description="Check the Terraform files without a cloud: " + ", ".join(LAYERS) + ".",
        epilog="Needs terraform; downloads the rest into build/infra-check/ at the first run.",
    ).parse_args()
    began, width = time.monotonic(), max(map(len, LAYERS))
    tools = Line(sys.stdout, "tools", width)
    try:
        with tools.counting():
            toolchain = prepare(tools.say)
    except Unavailable as exc:
        tools.end(Outcome(False, str(exc)))
        print(f"infra-check skipped: {exc}", file=sys.stderr)
        return 1 if os.environ.get("CI") else 0
    tools.end(Outcome(True, "terraform, the providers' schemas, checkov"))
    failed = []
    with attached(toolchain) as terraform:
        folder = copy_files(BUILD / "work")
        for name, layer in LAYERS.items():
            line = Line(sys.stdout, name, width)
            with line.counting():
                outcome = layer(toolchain, terraform, folder)
            line.end(outcome)
            if not outcome.ok:
                failed.append(name)
    result = f"failed: {', '.join(failed)}" if failed else "passed"
    print(f"infra-check {result} in {time.monotonic() - began:.0f} s")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
