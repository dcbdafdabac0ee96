"""Writes the table of variables in README.md from the *.tf files: `python -m infra.check.variables`.

Standard library only: it relies on the format of `terraform fmt`, with one argument per line.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from infra.check.toolchain import INFRA

PAGE = INFRA / "README.md"

_BEGIN, _END = "<!-- variables: begin -->\n", "<!-- variables: end -->\n"
_HEAD = "| variable | default | description |\n|---|---|---|\n"
_VARIABLE = re.compile(r'^variable "(\w+)" \{\n(.*?)^\}', re.M | re.S)
_DESCRIPTION = re.compile(r'^  description = "(.*)"$', re.M)
_DEFAULT = re.compile(r"^  default +?= +(.+?)(?: +#.*)?$", re.M)
_FIELD = re.compile(r"^    (\w+) += (?:optional\(.+, (.+?)\)|\w+)(?: +#.*)?$", re.M)
_NOTHING = {"null", '""', "[]", "{}"}


def table(folder: Path) -> str:
    """A row for each variable of the files in `folder`, with those of variables.tf first."""
    files = sorted(folder.glob("*.tf"), key=lambda file: (file.name != "variables.tf", file.name))
    found = (variable for file in files for variable in _VARIABLE.finditer(file.read_text()))
    return _HEAD + "".join(f"| `{each[1]}` | {_default(each[2])} | {_what(each[2])} |\n" for each in found)


def check(folder: Path, page: str) -> Iterator[str]:
    """Yield differences between the page's table and the files."""
    if _BEGIN not in page or _END not in page:
        yield f"{PAGE.name} has no place for the variables: {_BEGIN.strip()} and {_END.strip()}"
        return
    written, found = (set(text.splitlines()) for text in (table(folder), _parts(page)[1]))
    if written != found:
        yield f"{PAGE.name} has an outdated table of variables: write it again with `python -m infra.check.variables`"
        yield from (f"- {line}" for line in sorted(found - written))
        yield from (f"+ {line}" for line in sorted(written - found))


def _default(body: str) -> str:
    found = _DEFAULT.search(body)
    if not found:
        return ""
    value = found[1].strip('"')
    return "none" if found[1] in _NOTHING else f"`{value}`"


def _what(body: str) -> str:
    """The description, and for an object its fields with their defaults."""
    [description] = _DESCRIPTION.findall(body)
    fields = ", ".join(f"{name} = {default}" if default else name for name, default in _FIELD.findall(body))
    return f"{description} `{{ {fields} }}`" if fields else str(description)


def _parts(page: str) -> tuple[str, str, str]:
    before, _, rest = page.partition(_BEGIN)
    between, _, after = rest.partition(_END)
    return before, between, after


def main() -> int:
    """Write the table into the page."""
    before, _, after = _parts(PAGE.read_text())
    PAGE.write_text(before + _BEGIN + table(INFRA) + _END + after)
    return 0


if __name__ == "__main__":
    sys.exit(main())
