"""Prints findings: one line each, its fix below it, and colour only on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from client.doctor.finding import Finding
from client.text import printable

_STYLES = {"ok": "green", "warn": "yellow", "fail": "red"}


class Report:
    """Prints findings as they arrive, in columns that are wide enough for all subjects."""

    def __init__(self, subjects: Iterable[str]) -> None:
        self._width = max(map(len, subjects), default=0)

    def show(self, finding: Finding) -> None:
        """Print one finding, with control characters escaped."""
        text = printable(f"{finding.subject:<{self._width}}  {finding.message}")
        fix = f"      fix: {printable(finding.fix)}" if finding.fix else ""
        if sys.stdout.isatty():
            self._show_on_terminal(finding.level, text, fix)
        else:
            print("\n".join(filter(None, (f"{finding.level:<4}  {text}", fix))), flush=True)

    def _show_on_terminal(self, level: str, text: str, fix: str) -> None:
        from rich.console import Console
        from rich.text import Text

        # Soft wrap, because a command that is broken into lines cannot be copied.
        console = Console(soft_wrap=True, highlight=False)
        console.print(Text.assemble((f"{level:<4}", _STYLES[level]), f"  {text}"))
        if fix:
            console.print(Text(fix))
