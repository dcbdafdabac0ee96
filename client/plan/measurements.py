"""Reads files of measurements: rows of `name`, `value`, `unit` and `machine`, from `make bench` or the shipped ones.

It uses the rows named `throughput.DELIVERY.ENGINE` (images/s), `cold_start.DELIVERY.ENGINE` (s) and
`memory.DELIVERY.ENGINE` (MB), where DELIVERY is push or pull. It ignores all others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from client.gcp import UsageError
from model.text import printable, read_text, reason

UNITS = {"throughput": "images/s", "cold_start": "s", "memory": "MB"}

SMALL_BYTES, LARGE_BYTES = 10_000, 100_000
"""Bytes of an image: up to the first the measurements with small images apply, above the second those with photos no
longer do."""


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement on a machine with `cpus` CPUs."""

    value: float
    cpus: int
    source: str


def shipped(image_bytes: int) -> Path:
    """Return the shipped file of the nearer image size: small images of garments, or photos."""
    kind = "garments" if image_bytes <= SMALL_BYTES else "photos"
    return Path(__file__).with_name(f"measured-{kind}.json")


def read(paths: Sequence[Path]) -> dict[str, Row]:
    """Return the rows of these files by name. Raises UsageError, which names the file and the field."""
    return {name: row for path in paths for name, row in _rows(path)}


def _rows(path: Path) -> Iterator[tuple[str, Row]]:
    where = printable(str(path))
    try:
        content: Any = json.loads(read_text(path))
    except OSError as exc:
        raise UsageError(f"measurements cannot be read from {where}: {exc.strerror}") from None
    except ValueError as exc:
        raise UsageError(f"{where} is no JSON file: {reason(exc)}") from None
    rows = content.get("rows") if isinstance(content, dict) else content
    if not isinstance(rows, list):
        raise UsageError(f"{where} holds no list of rows; each is an object with name, value, unit and machine")
    for given in rows:
        name = given.get("name") if isinstance(given, dict) else None
        if isinstance(name, str) and name.split(".")[0] in UNITS and name.count(".") == 2:
            yield name, _row(given, name, where)


def _row(given: dict[str, Any], name: str, where: str) -> Row:
    value, unit, machine = given.get("value"), given.get("unit"), given.get("machine")
    label = printable(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
        raise UsageError(f"value of {label} in {where} is {printable(repr(value))}; it must be a number above 0")
    expected = UNITS[name.split(".")[0]]
    if unit != expected:
        raise UsageError(f"unit of {label} in {where} is {printable(repr(unit))}; it must be {expected!r}")
    cpus = machine.get("cpus") if isinstance(machine, dict) else None
    if isinstance(cpus, bool) or not isinstance(cpus, int) or not 1 <= cpus <= 1024:
        raise UsageError(f"machine.cpus of {label} in {where} is {printable(repr(cpus))}; it must be 1 to 1024")
    return Row(float(value), cpus, str(given.get("source") or where))
