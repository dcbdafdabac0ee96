"""`python -m infra.check`: runs every layer on infra/, one line each. Exit code 1 on a finding; needs Python 3.11."""

from __future__ import annotations

import argparse
import os
import sys
import textwrap

from infra.check.layers import LAYERS
from infra.check.terraform import attached, copy_files
from infra.check.toolchain import BUILD, Unavailable, prepare


def main() -> int:
    """Run the layers. Without the needed tools, skip the checks, or fail when the variable CI is set."""
    argparse.ArgumentParser(
        prog="python -m infra.check",
        description="Check the Terraform files without a cloud: " + ", ".join(LAYERS) + ".",
        epilog="Needs terraform; downloads the rest into build/infra-check/ at the first run.",
    ).parse_args()
    try:
        toolchain = prepare()
    except Unavailable as exc:
        print(f"infra-check skipped: {exc}", file=sys.stderr)
        return 1 if os.environ.get("CI") else 0
    failed = []
    with attached(toolchain) as terraform:
        folder = copy_files(BUILD / "work")
        width = max(map(len, LAYERS))
        for name, layer in LAYERS.items():
            outcome = layer(toolchain, terraform, folder)
            if outcome.ok:
                print(f"{name:{width}} ok   {outcome.output}")
            else:
                failed.append(name)
                print(f"{name:{width}} FAIL\n{textwrap.indent(outcome.output, '    ')}")
    print(f"infra-check failed: {', '.join(failed)}" if failed else "infra-check passed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
