"""Commands: each is printed, ready to be pasted, before it is run; a dry run prints alone."""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path


class Stopped(Exception):
    """A command failed, so nothing further was done; the sentence says which, and what to do."""


@dataclass(frozen=True, slots=True)
class Shell:
    """Runs commands in `root`. `dry`: prints them and runs none. `attended`: somebody is there to be asked."""

    root: Path
    dry: bool = False
    attended: bool = False

    def say(self, text: str = "") -> None:
        """Talk, as a comment between the commands: what a dry run prints is a script."""
        print(f"# {text}" if text else "", flush=True)

    def run(self, *command: str, otherwise: str) -> None:
        """Run a command that talks for itself. Raises Stopped, which says `otherwise`."""
        self._show(command)
        if not self.dry:
            self._checked(command, otherwise, capture=False)

    def ask(self, *command: str, otherwise: str) -> str:
        """What a command prints, unseen; nothing in a dry run. Raises Stopped, which says `otherwise`."""
        self._show(command)
        return "" if self.dry else self._checked(command, otherwise, capture=True).strip()

    def _show(self, command: tuple[str, ...]) -> None:
        print(shlex.join(command), flush=True)

    def _checked(self, command: tuple[str, ...], otherwise: str, capture: bool) -> str:
        stdout = subprocess.PIPE if capture else None
        with subprocess.Popen(command, cwd=self.root, stdout=stdout, text=True) as process:
            said, interrupted = None, False
            while process.returncode is None:
                try:
                    said, _ = process.communicate()
                except KeyboardInterrupt:
                    # It has heard Ctrl-C too. A Terraform that is killed in the middle forgets what it made.
                    interrupted = True
        if interrupted:
            raise KeyboardInterrupt
        if process.returncode:
            raise Stopped(f"{shlex.join(command)}\nended with {process.returncode}. {otherwise}")
        return said or ""
