"""Runs commands. Each is printed, ready to be copied, before it runs; a dry run only prints."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

# Seconds before the second try of a step: new APIs and grants mostly take effect within a minute.
RETRY_S = 60.0


class CommandFailed(Exception):
    """A command failed, so the following ones were not run; the message names it and gives a hint."""


@dataclass(frozen=True, slots=True)
class Shell:
    """Runs commands in `root`. `dry`: only prints them. `attended`: a user at a terminal can answer questions."""

    root: Path
    dry: bool = False
    attended: bool = False

    def say(self, text: str = "") -> None:
        """Print a message as a comment between the commands, because the output of a dry run is a script."""
        print(f"# {text}" if text else "", flush=True)

    def run(self, *command: str, hint: str) -> None:
        """Run a command that prints its own output. Raises CommandFailed, with the hint."""
        self._show(command)
        if not self.dry:
            self._checked(command, hint, capture=False)

    def ask(self, *command: str, hint: str) -> str:
        """Return a command's output without printing it; "" in a dry run. Raises CommandFailed, with the hint."""
        self._show(command)
        return "" if self.dry else self._checked(command, hint, capture=True).strip()

    def once(self, step: Callable[[], T]) -> T:
        """Run a step. Raises CommandFailed."""
        return step()

    def twice(self, step: Callable[[], T]) -> T:
        """Run a step, and once more after RETRY_S when a command of it failed. Raises CommandFailed."""
        try:
            return step()
        except CommandFailed:
            self.say(f"it failed; a second try follows in {RETRY_S:.0f} s, when new APIs and grants have taken effect")
            time.sleep(RETRY_S)
            return step()

    def python(self, *words: str) -> tuple[str, ...]:
        """The command `python -m WORDS`, with this Python's path, relative to `root` if possible."""
        here = Path(sys.executable)
        return str(here.relative_to(self.root) if here.is_relative_to(self.root) else here), "-m", *words

    def _show(self, command: tuple[str, ...]) -> None:
        print(shlex.join(command), flush=True)

    def _checked(self, command: tuple[str, ...], hint: str, capture: bool) -> str:
        stdout = subprocess.PIPE if capture else None
        with subprocess.Popen(command, cwd=self.root, stdout=stdout, text=True) as process:
            output, interrupted = None, False
            while process.returncode is None:
                try:
                    output, _ = process.communicate()
                except KeyboardInterrupt:
                    # The command gets Ctrl-C too. A Terraform that is killed would lose track of new resources.
                    interrupted = True
        if interrupted:
            raise KeyboardInterrupt
        if process.returncode:
            raise CommandFailed(f"{shlex.join(command)}\nfailed with exit code {process.returncode}. {hint}")
        return output or ""
