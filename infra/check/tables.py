"""The generated tables of module.md: each stands between two comments with its name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from infra.check.toolchain import INFRA

PAGE = INFRA / "module.md"


def check(name: str, table: str, page: str) -> Iterator[str]:
    """Yield differences between a table and the one in the text of a page."""
    if not all(mark in page for mark in _marks(name)):
        yield f"{PAGE.name} has no place for the {name}: {' and '.join(mark.strip() for mark in _marks(name))}"
        return
    written, found = (set(text.splitlines()) for text in (table, _parts(name, page)[1]))
    if written != found:
        yield f"{PAGE.name} has an outdated table of {name}: write it again with `python -m infra.check.{name}`"
        yield from (f"- {line}" for line in sorted(found - written))
        yield from (f"+ {line}" for line in sorted(written - found))


def write(name: str, table: str, page: Path = PAGE) -> None:
    """Write a table into a page that has a place for it."""
    before, _, after = _parts(name, page.read_text())
    begin, end = _marks(name)
    page.write_text(f"{before}{begin}{table}{end}{after}")


def _marks(name: str) -> tuple[str, str]:
    return f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"


def _parts(name: str, page: str) -> tuple[str, str, str]:
    begin, end = _marks(name)
    before, _, rest = page.partition(begin)
    between, _, after = rest.partition(end)
    return before, between, after
