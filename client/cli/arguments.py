"""The arguments of the commands that send images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from client.cli import options
from client.gcp import RETRY_S

if TYPE_CHECKING:
    from client.sources.selection import Selection
    from client.transport.base import SendOptions

SELECTION = ("paths", "lists", "column", "id_column", "include", "exclude")
"""Parameters that name images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """The arguments of the commands that send images. Not every command has those with a default."""

    paths: Sequence[str]
    rate: float | None
    tries: int
    every: float
    state: str | None
    unsent: Path | None
    log: Path | None
    lists: Sequence[str] = ()
    column: str = ""
    id_column: str = ""
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    top_k: int | None = None
    model: str | None = None
    expires_in: float | None = None
    resume: str | None = None
    as_json: bool = False
    output: Sequence[Path] = ()
    explain: bool = False
    explain_to: Path | None = None
    features: bool = False
    gather: int | str = 1
    responses: str = "each"
    timeout: float = RETRY_S
    no_wait: bool = False
    detached: bool = False
    quiet: bool = False
    shown_as: str = ""

    @property
    def explanations(self) -> Path | None:
        """The folder for explanations, None when none is requested."""
        return self.explain_to or (options.EXPLANATIONS if self.explain else None)

    def request_options(self) -> SendOptions:
        """Return the options of each request."""
        from client.transport.base import SendOptions

        return SendOptions(
            self.top_k,
            self.model,
            self.expires_in,
            self.explanations is not None,
            self.features,
            self.gather,
            self.responses,
        )

    def selection(self) -> Selection:
        """Return what the command line names."""
        from client.sources.selection import Selection

        return Selection(**self.selection_values())

    def selection_values(self) -> dict[str, Any]:
        """Return the parameters that name and choose images."""
        return {name: getattr(self, name) for name in SELECTION}

    def described(self) -> str:
        """Return the named images in a few words."""
        from client.jobs.definition import described

        return self.shown_as or described([*self.paths, *(f"--from {name}" for name in self.lists)])
