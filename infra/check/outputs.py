"""Writes the table of outputs in module.md: `python -m infra.check.outputs`.

Terraform declares no types of outputs, so they come from the states of two rehearsed deployments: with every option,
and on Kafka, which excludes some of them.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from infra.check import scenarios, tables
from infra.check.toolchain import Unavailable
from infra.check.variables import description

SCENARIOS = "everything", "kafka"
"""The rehearsed deployments that have all outputs between them."""

_HEAD = "| output | type | description |\n|---|---|---|\n"
_OUTPUT = re.compile(r'^output "(\w+)" \{\n(.*?)^\}', re.M | re.S)


def table(folder: Path, types: dict[str, Any]) -> str:
    """A row for each output of the files in `folder`; `types`: by output, as Terraform writes them in JSON."""
    found = [each for file in sorted(folder.glob("*.tf")) for each in _OUTPUT.finditer(file.read_text())]
    return _HEAD + "".join(f"| `{each[1]}` | `{_type(types[each[1]])}` | {description(each[2])} |\n" for each in found)


def types(folder: Path) -> dict[str, Any]:
    """The types of the outputs of the deployments that were rehearsed in `folder`."""
    states = [json.loads((scenarios.place(folder, each) / "state.json").read_text()) for each in SCENARIOS]
    return {name: output["type"] for state in states for name, output in state["values"]["outputs"].items()}


def check(folder: Path, page: str) -> Iterator[str]:
    """Yield differences between the page's table and the files in `folder`, in which all scenarios were rehearsed."""
    return tables.check("outputs", table(folder, types(folder)), page)


def _type(given: Any) -> str:
    match given:
        case ["object", fields]:
            return f"object({{ {', '.join(f'{name} = {_type(each)}' for name, each in sorted(fields.items()))} }})"
        case [collection, element]:
            return f"{collection}({_type(element)})"
        case _:
            return str(given)


def main() -> int:
    """Rehearse the deployments and write the table into the page."""
    try:
        folder = scenarios.rehearse_files()
    except Unavailable as exc:
        print(exc, file=sys.stderr)
        return 1
    tables.write("outputs", table(folder, types(folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
