"""Message indexes: which messages a backlog or a log holds, for persistence across restarts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class MessageIndex:
    """The index of one holder. This base class, number 0, stores nothing. No method blocks."""

    number = 0

    def add(self, message: Any) -> None:
        """The holder has got a message."""

    def drop(self, message: Any) -> None:
        """The holder has dropped a message."""

    def count(self, message: Any, attempts: int) -> None:
        """Set the number of failed deliveries of a message."""

    def renewed(self, messages: Iterable[Any]) -> MessageIndex:
        """A new index with these messages, which replaces this one."""
        return self


NO_INDEX = MessageIndex()
