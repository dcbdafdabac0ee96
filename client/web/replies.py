"""What the addresses of the page share: bodies that are read up to a limit, JSON replies, and errors as sentences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from client.gcp import UsageError
from client.text import SendError, StoreError, plain
from client.web.encoding import encoded
from model.errors import ArtifactError
from model.text import printable


class Refused(Exception):
    """A request that is answered with a status and a sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def too_large(limit: int) -> Refused:
    """The refusal of a body with more than `limit` bytes."""
    return Refused(413, f"it is larger than {limit:,} bytes, and no more are allowed")


async def read_body(request: Request, limit: int) -> bytes:
    """Read a body, and no more than `limit` bytes of it. Raises Refused."""
    stated = request.headers.get("content-length", "0")
    if stated.isdigit() and len(stated) < 19 and int(stated) > limit:
        raise too_large(limit)
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > limit:
                raise too_large(limit)
    except ClientDisconnect:
        raise Refused(400, "the request ended early") from None
    return bytes(body)


def checked(action: Callable[..., Any], *arguments: Any) -> Any:
    """Return what an action returns. Its errors become sentences, without the words of libraries."""
    try:
        return action(*arguments)
    except Refused:
        raise
    except (UsageError, ArtifactError) as exc:
        raise Refused(400, printable(str(exc))) from None
    except Exception as exc:
        known = isinstance(exc, SendError | StoreError) or type(exc).__module__.startswith("google.")
        if not known:
            raise
        raise Refused(503, plain(exc)) from exc


def json_reply(value: Any, status: int = 200) -> Response:
    """A reply that no cache keeps."""
    return JSONResponse(value, status, headers={"Cache-Control": "no-store"})


async def reply(action: Callable[..., Any], *arguments: Any) -> Response:
    """Call an action in a thread, and return what it returns as JSON. Its errors are those of `checked`.

    The thread encodes too: a confusion matrix has megabytes, and the event loop would wait for it.
    """
    body = await run_in_threadpool(lambda: encoded(checked(action, *arguments)))
    return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})
