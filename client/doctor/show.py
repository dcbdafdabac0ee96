"""Findings on the screen: a line each, the command below it; colour only on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from client.doctor.finding import Finding
from client.text import printable

_STYLES = {"ok": "green", "warn": "yellow", "fail": "red"}


class Lines:
    """Prints findings as they come, in columns wide enough for what is looked at."""

    def __init__(self, whats: Iterable[str]) -> None:
        self._width = max(map(len, whats), default=0)

    def show(self, finding: Finding) -> None:
        """One finding; the text is harmless to print."""
        said = printable(f"{finding.what:<{self._width}}  {finding.said}")
        mend = f"      mend: {printable(finding.mend)}" if finding.mend else ""
        if sys.stdout.isatty():
            self._show_richly(finding.level, said, mend)
        else:
            print("\n".join(filter(None, (f"{finding.level:<4}  {said}", mend))), flush=True)

    def _show_richly(self, level: str, said: str, mend: str) -> None:
        from rich.console import Console
        from rich.text import Text

        # Soft wrap: a command that is broken into lines cannot be copied.
        console = Console(soft_wrap=True, highlight=False)
        console.print(Text.assemble((f"{level:<4}", _STYLES[level]), f"  {said}"))
        if mend:
            console.print(Text(mend))
