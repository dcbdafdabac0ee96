"""Writes the table of variables in module.md from the *.tf files: `python -m infra.check.variables`.

Standard library only: it relies on the format of `terraform fmt`, with one argument per line.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from infra.check import tables
from infra.check.toolchain import INFRA

_HEAD = "| variable | type | default | description |\n|---|---|---|---|\n"
_VARIABLE = re.compile(r'^variable "(\w+)" \{\n(.*?)^\}', re.M | re.S)
_DESCRIPTION = re.compile(r'^  description = "(.*)"$', re.M)
_TYPE = re.compile(r"^  type +?= +(.+)$", re.M)
_DEFAULT = re.compile(r"^  default +?= +(.+?)(?: +#.*)?$", re.M)
_FIELD = re.compile(r"^    (\w+) += (?:optional\(.+, (.+?)\)|\w+)(?: +#.*)?$", re.M)
_NOTHING = {"null", '""', "[]", "{}"}


def table(folder: Path) -> str:
    """A row for each variable of the files in `folder`, with those of variables.tf first."""
    files = sorted(folder.glob("*.tf"), key=lambda file: (file.name != "variables.tf", file.name))
    found = (variable for file in files for variable in _VARIABLE.finditer(file.read_text()))
    return _HEAD + "".join(
        f"| `{each[1]}` | `{_type(each[2])}` | {_default(each[2])} | {_what(each[2])} |\n" for each in found
    )


def check(folder: Path, page: str) -> Iterator[str]:
    """Yield differences between the page's table and the files."""
    return tables.check("variables", table(folder), page)


def description(body: str) -> str:
    """The description in the body of a variable or an output."""
    [found] = _DESCRIPTION.findall(body)
    return str(found).replace('\\"', '"')


def _type(body: str) -> str:
    """The type; only `object` when its fields take several lines, because the description then has them."""
    [found] = _TYPE.findall(body)
    return str(found).removesuffix("({")


def _default(body: str) -> str:
    found = _DEFAULT.search(body)
    if not found:
        return ""
    value = found[1].strip('"')
    return "none" if found[1] in _NOTHING else f"`{value}`"


def _what(body: str) -> str:
    """The description, and for an object its fields with their defaults."""
    fields = ", ".join(f"{name} = {default}" if default else name for name, default in _FIELD.findall(body))
    return f"{description(body)} `{{ {fields} }}`" if fields else description(body)


def main() -> int:
    """Write the table into the page."""
    tables.write("variables", table(INFRA))
    return 0


if __name__ == "__main__":
    sys.exit(main())
