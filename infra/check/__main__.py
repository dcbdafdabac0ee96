"""`python -m infra.check`: every layer over infra/, a line each; status 1 on a finding. Any Python 3.11 runs it."""

from __future__ import annotations

import argparse
import os
import sys
import textwrap

from infra.check.layers import LAYERS
from infra.check.terraform import attached, copy_files
from infra.check.workshop import BUILD, Unavailable, prepare


def main() -> int:
    """Run the layers; where a tool is missing, skip at a desk and fail under CI."""
    argparse.ArgumentParser(
        prog="python -m infra.check",
        description="Check the Terraform files without a cloud: " + ", ".join(LAYERS) + ".",
        epilog="Needs terraform; fetches the rest into build/infra-check/ the first time.",
    ).parse_args()
    try:
        workshop = prepare()
    except Unavailable as exc:
        print(f"infra-check skipped: {exc}", file=sys.stderr)
        return 1 if os.environ.get("CI") else 0
    failed = []
    with attached(workshop) as terraform:
        folder = copy_files(BUILD / "work")
        width = max(map(len, LAYERS))
        for name, layer in LAYERS.items():
            outcome = layer(workshop, terraform, folder)
            if outcome.ok:
                print(f"{name:{width}} ok   {outcome.said}")
            else:
                failed.append(name)
                print(f"{name:{width}} FAIL\n{textwrap.indent(outcome.said, '    ')}")
    print(f"infra-check failed: {', '.join(failed)}" if failed else "infra-check passed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
