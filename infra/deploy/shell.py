"""Runs commands. Each is printed, ready to be copied, before it runs; a dry run only prints."""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path


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
