"""Formats a reply as the bytes of an HTTP/1.1 response (RFC 9112)."""

from __future__ import annotations

import time
from functools import lru_cache
from http import HTTPStatus

from functions.entrypoints.http import HttpReply
from functions.entrypoints.request_head import Head

_PHRASES = {status.value: status.phrase for status in HTTPStatus}


def encode_reply(reply: HttpReply, head: Head | None, *, keep_alive: bool) -> bytes:
    """Return the response to a request; `head` is None when its head could not be read."""
    lines = [f"HTTP/1.{0 if head and head.is_http_1_0 else 1} {reply.status} {_PHRASES[reply.status]}"]
    lines += [f"{name}: {value}" for name, value in reply.headers.items()]
    if reply.status != HTTPStatus.NO_CONTENT:
        lines.append(f"Content-Length: {len(reply.body)}")
    lines.append(f"Date: {_date(int(time.time()))}")
    if not keep_alive:
        lines.append("Connection: close")
    body = b"" if head and head.method == "HEAD" else reply.body
    return "\r\n".join([*lines, "\r\n"]).encode("latin-1") + body


@lru_cache(1)
def _date(seconds: int) -> str:
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(seconds))
