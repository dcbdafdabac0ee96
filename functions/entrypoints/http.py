"""An HTTP request and its reply, as the entry points see them, whatever server runs them.

http_server.py serves them, and main.py adapts them to functions-framework.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from functions.entrypoints.request_body import RequestBody

JSON = {"Content-Type": "application/json"}
TEXT = {"Content-Type": "text/plain; charset=utf-8"}


class Headers(Protocol):
    """Header names in any case."""

    def get(self, key: str, /) -> str | None: ...


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request. `query`: the names and values in their order; a name may come several times.

    `root`: the address of this server, with a slash at its end; empty when the request does not state it.
    """

    method: str
    path: str
    headers: Headers
    body: RequestBody
    query: Sequence[tuple[str, str]] = ()
    root: str = ""


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A reply with the whole body."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


Reply = Callable[[HttpReply], None]
"""Takes the reply to a request, once, from any thread."""


def text_reply(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> HttpReply:
    """A reply of one line of plain text."""
    return HttpReply(status, f"{sentence}\n".encode(), TEXT | dict(headers or {}))


def json_reply(status: int, value: Mapping[str, Any]) -> HttpReply:
    """A reply of a JSON object."""
    return HttpReply(status, json.dumps(value).encode(), JSON)
