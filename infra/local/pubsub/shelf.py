"""Shelves: which messages a backlog or a log holds, told to whoever must know it after a restart."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class Shelf:
    """The messages of one holder; this one, number 0, remembers nothing. No method waits."""

    number = 0

    def add(self, message: Any) -> None:
        """The holder has this message from now on."""

    def drop(self, message: Any) -> None:
        """It has it no more."""

    def count(self, message: Any, attempts: int) -> None:
        """Its deliveries failed so many times."""

    def renewed(self, messages: Iterable[Any]) -> Shelf:
        """The shelf that holds these messages, in place of this one."""
        return self


NO_SHELF = Shelf()
