"""Results in one format: rows of `name`, `value` (the median of `runs`), `unit` and `machine`.

A name is what was measured, its last part the variant; the table has a line for the one and a column for the other.
"""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from rich.table import Column, Table

Row = dict[str, Any]
RATIO = "1"
"""The unit of one figure over another."""


def row(name: str, runs: Sequence[float], unit: str, *, cpus: int | None = None, how: str = "") -> Row:
    """A row of the median of `runs`; `cpus` where it had not all of the machine's, and `how` in words."""
    words = "; ".join(filter(None, [machine_words(), how]))
    return {
        "name": name,
        "value": float(f"{median(runs):.4g}"),
        "unit": unit,
        "machine": {"cpus": cpus or os.cpu_count(), "words": words},
        "runs": [float(f"{each:.4g}") for each in runs],
    }


@cache
def machine_words() -> str:
    """This machine, as a reader of the figures wants to know it."""
    models = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    cpu = models[0] if models else platform.machine()
    return (
        f"{os.cpu_count()} CPUs ({cpu}), {memory:.0f} GB of memory, Python {platform.python_version()}, "
        f"load {os.getloadavg()[0]:.1f} at the beginning"
    )


def ratios(rows: Sequence[Row]) -> list[Row]:
    """The rows without a unit: they say the same on a faster machine."""
    return [each for each in rows if each["unit"] == RATIO]


def write(path: Path, rows: Sequence[Row]) -> None:
    """The rows as a JSON list, one a line."""
    path.write_text("[\n " + ",\n ".join(json.dumps(each) for each in rows) + "\n]\n")


def table(title: str, rows: Iterable[Row]) -> Table:
    """Lines by name, columns by variant, and the last column over the first where there are two."""
    lines: dict[tuple[str, str], dict[str, Row]] = {}
    for each in rows:
        name, _, variant = each["name"].rpartition(".")
        lines.setdefault((name, each["unit"]), {})[variant] = each
    variants = list(dict.fromkeys(variant for found in lines.values() for variant in found))
    made = Table(Column("", overflow="fold"), "unit", *variants, "ratio", title=title)
    for (name, unit), found in lines.items():
        cells = [_cell(found[variant]) if variant in found else "" for variant in variants]
        first, last = found.get(variants[0]), found.get(variants[-1])
        ratio = ""
        if first and last and first is not last and first["value"]:
            ratio = f"{last['value'] / first['value']:.2f}x"
        made.add_row(name, unit, *cells, ratio)
    return made


def _cell(each: Row) -> str:
    low, high = min(each["runs"]), max(each["runs"])
    spread = f" ({low:,g} to {high:,g})" if low != high else ""
    return f"{each['value']:,g}{spread}"
