"""Results of the peers, as rows and as a table for each model, ours first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from tests.bench.rows import Row, row

Taken = Mapping[tuple[str, str, str], Sequence[float]]
"""Figures of all runs, by model, peer and name."""


def peer_rows(taken: Taken, units: Mapping[str, str], how: Mapping[str, str]) -> list[Row]:
    """A row for each figure; `how`: by peer, in words."""
    return [
        row(f"peers.{model}.{name}.{peer}", runs, units[name], cpus=1, how=how[peer])
        for (model, peer, name), runs in taken.items()
    ]


def peer_tables(rows: Iterable[Row]) -> list[Table]:
    """A table for each model; a figure that a peer has not is left empty."""
    models: dict[str, dict[str, dict[str, Row]]] = {}
    for each in rows:
        _, model, name, peer = each["name"].split(".")
        models.setdefault(model, {}).setdefault(peer, {})[name] = each
    return [_table(model, found) for model, found in models.items()]


def _table(model: str, found: Mapping[str, Mapping[str, Row]]) -> Table:
    columns = dict.fromkeys((name, each["unit"]) for figures in found.values() for name, each in figures.items())
    made = Table(title=f"Compared with the peers: {model}", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    made.add_column(no_wrap=True)
    for name, unit in columns:
        made.add_column(f"{name}, {unit}", justify="right", overflow="fold")
    for peer, figures in found.items():
        made.add_row(peer, *(_cell(figures.get(name)) for name, _ in columns))
    return made


def _cell(each: Mapping[str, Any] | None) -> str:
    """Three digits: the rows have more."""
    return f"{float(format(each['value'], '.3g')):,g}" if each else ""
