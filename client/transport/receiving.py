"""What all ways to receive responses share: their Protocol, their options, and how a message is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Protocol, Self, TypedDict

from client.text import brief
from functions.messages.contract import KIND
from functions.messages.response_list import BATCH, decode_responses


class Journal(Protocol):
    """Where `on_response` records responses before they are acked."""

    def when_saved(self, action: Callable[[], None]) -> None:
        """Call `action`, at once or from another thread, when what is recorded so far is saved."""
        ...

    def save(self) -> None:
        """Save what is recorded. Raises StoreError."""
        ...


Decode = Callable[[bytes, Mapping[str, str]], Any]
"""Reads a message of the response topic. Raises ValueError."""


class Receiving(TypedDict, total=False):
    """How responses are received: the options of ResponseSubscription, which explains them."""

    subscription: str
    all_clients: bool
    retry_s: float
    client_id: str
    keep: Callable[[], bool]
    must_exist: bool
    journal: Journal | None
    decode: Decode | None


class Responses(Protocol):
    """Receives responses during a `with` block. Entering it raises SendError.

    `client_id` is the `reply_to` of the requests. `path` names where responses are kept for it, and `is_new` tells that
    this had to be created.
    """

    @property
    def client_id(self) -> str: ...

    @property
    def is_new(self) -> bool: ...

    @property
    def path(self) -> str: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@contextmanager
def reply_address(responses: Responses | None) -> Iterator[str | None]:
    """Receive responses during the block. Yields the client id for `reply_to`; None where none are received."""
    if responses is None:
        yield None
    else:
        with responses:
            yield responses.client_id


def pass_on(
    data: bytes,
    attributes: Mapping[str, str],
    on_response: Callable[[Any], None],
    log: Callable[[str], None],
    *,
    reply_to: str | None,
    decode: Decode | None = None,
) -> None:
    """Call `on_response` with the responses in a message of the response topic, if they are for this client.

    `reply_to`: the client's id; None for those of all clients. What is no response is dropped with a message to `log`.
    Without `decode`, a message has responses to images, alone or in a list, and others are left out. Raises the OSError
    of `on_response`.
    """
    is_mine = reply_to is None or attributes.get("reply_to") == reply_to
    if not is_mine or not (decode or attributes.get(KIND, BATCH) == BATCH):
        return
    try:
        for response in [decode(data, attributes)] if decode else decode_responses(data, attributes):
            on_response(response)
    except ValueError as exc:
        request_id = brief(attributes.get("request_id", "unknown"))
        log(f"dropped a message that is no response (request {request_id}): {brief(str(exc))}")
