"""`python -m infra.check`: runs every layer on infra/, one line each. Exit code 1 on a finding; needs Python 3.11."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator

from infra.check import scenarios
from infra.check.layers import LAYERS
from infra.check.passed import Passed
from infra.check.progress import Line
from infra.check.terraform import Outcome, Terraform, attached, copy_files
from infra.check.toolchain import BUILD, Toolchain, Unavailable, prepare


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
    with attached(toolchain) as terraform:
        failed = list(_failed(toolchain, terraform, width))
    result = f"failed: {', '.join(failed)}" if failed else "passed"
    print(f"infra-check {result} in {time.monotonic() - began:.0f} s")
    return bool(failed)


def _failed(toolchain: Toolchain, terraform: Terraform, width: int) -> Iterator[str]:
    """Yield the failed layers. A layer that passed with the same inputs is not run again, except under CI."""
    folder = copy_files(BUILD / "work", keep=scenarios.FOLDER)
    passed = Passed(BUILD / "passed.json", toolchain.terraform)
    for name, layer in LAYERS.items():
        line = Line(sys.stdout, name, width)
        # Later layers need the files of the rehearsal.
        repeatable = not os.environ.get("CI") and scenarios.rehearsed(folder)
        if repeatable and (known := passed.output(name)):
            line.end(Outcome(True, f"{known}, unchanged"))
            continue
        with line.counting():
            outcome = layer(toolchain, terraform, folder)
        line.end(outcome)
        if outcome.ok:
            passed.keep(name, outcome.output)
        else:
            yield name


if __name__ == "__main__":
    sys.exit(main())
