"""Starts a module as `python -m` does, but sooner: `python -m functions.start functions_framework --target serve`.

Standard library only: what is imported here is imported in the slow way.
"""

from __future__ import annotations

import gc
import runpy
import sys

GARBAGE = (50_000, 20, 100)
"""New objects before a search for garbage (`gc.set_threshold`; Python's own: 700, 10, 10).

A start makes 80,000 that all stay, and would look through them two hundred times: a tenth of its CPU time.
"""


def main() -> None:
    """Run the module that the first argument names; the others are its own."""
    if len(sys.argv) < 2:
        print("usage: python -m functions.start MODULE [ARGUMENT ...]", file=sys.stderr)
        sys.exit(2)
    gc.set_threshold(*GARBAGE)
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
