"""Message indexes: which messages a backlog or a log holds, for persistence across restarts."""

from __future__ import annotations

from collections.abc import Iterable

from infra.local.pubsub.stored_message import StoredMessage


class MessageIndex:
    """The index of one holder. This base class, number 0, stores nothing. No method blocks."""

    number = 0

    def add(self, message: StoredMessage) -> None:
        """The holder has got a message."""

    def drop(self, message: StoredMessage) -> None:
        """The holder has dropped a message."""

    def count(self, message: StoredMessage, attempts: int) -> None:
        """Set the number of failed deliveries of a message."""

    def renewed(self, messages: Iterable[StoredMessage]) -> MessageIndex:
        """A new index with these messages, which replaces this one."""
        return self


NO_INDEX = MessageIndex()
