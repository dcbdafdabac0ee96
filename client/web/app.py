"""The addresses of the page, as a Starlette application."""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from client.gcp import Cloud, UsageError
from client.text import SendError, StoreError, plain
from client.web import dead_letters
from client.web.guard import Guard
from client.web.page import Page
from client.web.page_files import THUMBNAIL_BYTES, clean_name, is_key, media_type
from client.web.settings import options_of
from functions.entrypoints.form import read_form
from functions.errors import HTTP_STATUS, UNAVAILABLE, InvalidRequest
from functions.messages.contract import Error, encode_response, encode_time
from functions.messages.contract import Response as Answer

_STATIC = Path(__file__).with_name("static")

_FORM_BYTES = 10_000
"""Bytes of a form around its file."""

_JSON_BYTES = 100_000
"""Bytes of the largest JSON body: the ids of 1,000 dead letters."""

Handler = Callable[[Request], Awaitable[Response]]


class _Refused(Exception):
    """A request that is answered with a status and a sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def application(page: Page, host: str) -> Starlette:
    """Return the application that serves an open page on `host`."""
    handlers = _Handlers(page)
    routes = [
        Route("/", handlers.index),
        Route("/predict", handlers.predict, methods=["POST"]),
        Route("/api/facts", handlers.facts),
        Route("/api/history", handlers.history),
        Route("/api/events", handlers.events),
        Route("/api/live", handlers.live),
        Route("/api/images", handlers.upload, methods=["POST"]),
        Route("/api/rows/{job}/{n:int}/thumbnail", handlers.save_thumbnail, methods=["PUT"]),
        Route("/api/rows/{job}/{n:int}/{what}", handlers.file),
        Route("/api/dead-letters", handlers.dead_letters),
        Route("/api/dead-letters/redrive", handlers.redrive, methods=["POST"]),
        Mount("/static", StaticFiles(directory=_STATIC)),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(Guard, host=host, iap=page.settings.iap)],
        exception_handlers={_Refused: _refusal, Exception: _failure, 404: _unknown, 405: _unknown},
    )


class _Handlers:
    """Blocking work runs in threads."""

    def __init__(self, page: Page) -> None:
        self._page = page

    async def index(self, request: Request) -> Response:
        return FileResponse(_STATIC / "index.html", headers={"Cache-Control": "no-cache"})

    async def facts(self, request: Request) -> Response:
        return _json(self._page.facts())

    async def history(self, request: Request) -> Response:
        def encoded() -> bytes:
            return json.dumps(self._page.history()).encode()  # megabytes, which the event loop would wait for

        return Response(await run_in_threadpool(_sent, encoded), media_type="application/json")

    async def live(self, request: Request) -> Response:
        return _json(await run_in_threadpool(_sent, self._page.figures))

    async def events(self, request: Request) -> Response:
        return StreamingResponse(
            self._page.events.stream(), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )

    async def upload(self, request: Request) -> Response:
        """Take an image, whose bytes are the body, and reply before it is sent."""
        given = request.query_params
        key = given.get("key", "")
        if not is_key(key):
            raise _Refused(400, "key must be 32 hex digits")
        name = clean_name(given.get("name", ""))
        data = await self._body(request, self._page.settings.max_bytes)
        way, options = given.get("way") or self._page.settings.ways[0], _options(given)
        await run_in_threadpool(self._write, key, data)
        return _json(await run_in_threadpool(_sent, self._page.send, way, options, key, name), 202)

    async def predict(self, request: Request) -> Response:
        """Take an image as the body or in a form, and reply with its response, as a worker does."""
        key, settings = uuid.uuid4().hex, self._page.settings
        try:
            body = await self._body(request, settings.max_bytes + _FORM_BYTES)
            kind, _, rest = request.headers.get("content-type", "").partition(";")
            name = request.query_params.get("filename", "")
            if kind.strip().lower() == "multipart/form-data":
                form = read_form(body, rest.partition("boundary=")[2].strip().strip('"'), ())
                body, name = form.data, form.filename or name
            if len(body) > settings.max_bytes:
                raise _too_large(settings.max_bytes)
            options = _options(request.query_params)
            way = request.query_params.get("way") or settings.ways[0]
            await run_in_threadpool(self._write, key, body)
            answer = await run_in_threadpool(_sent, self._page.answer, way, options, key, clean_name(name))
        except (_Refused, InvalidRequest) as exc:
            status = getattr(exc, "status", 400)
            code = {413: "image_too_large", 503: UNAVAILABLE}.get(status, "invalid_request")
            answer = Answer(key, error=Error(code, str(exc)), completed_at=encode_time(datetime.now(UTC)))
        status = HTTP_STATUS[answer.error.code] if answer.error else 200
        return Response(encode_response(answer), status, media_type="application/json")

    async def save_thumbnail(self, request: Request) -> Response:
        data = await self._body(request, THUMBNAIL_BYTES)
        if media_type(data) is None:
            raise _Refused(400, "a thumbnail must be a JPEG, PNG or WebP image")
        job, number = request.path_params["job"], request.path_params["n"]
        try:
            await run_in_threadpool(self._page.files.write, job, number, "thumbnail", data)
        except OSError as exc:
            raise _Refused(400, f"the thumbnail cannot be kept: {plain(exc)}") from None
        return Response(status_code=204)

    async def file(self, request: Request) -> Response:
        given = request.path_params
        if given["what"] not in ("thumbnail", "explanation"):
            raise _Refused(404, "there is no such file")
        data = await run_in_threadpool(self._page.files.read, given["job"], given["n"], given["what"])
        if data is None or (kind := media_type(data)) is None:
            raise _Refused(404, "there is no such file")
        return Response(data, media_type=kind, headers={"Cache-Control": "private, max-age=86400"})

    async def dead_letters(self, request: Request) -> Response:
        return _json(await run_in_threadpool(_sent, dead_letters.listed, *self._dead_letters()))

    async def redrive(self, request: Request) -> Response:
        """Redrive the dead letters whose message ids the body names: {"message_ids": [...]}."""
        try:
            ids = json.loads(await self._body(request, _JSON_BYTES))["message_ids"]
            chosen = {each for each in ids if isinstance(each, str) and each}
        except (ValueError, TypeError, KeyError, RecursionError):
            chosen = set()
        if not chosen:
            raise _Refused(400, "message_ids must be a list of the message ids of dead letters")
        return _json(await run_in_threadpool(_sent, dead_letters.redriven, *self._dead_letters(), chosen))

    def _dead_letters(self) -> tuple[Cloud, str]:
        """Return where dead letters are. Raises _Refused."""
        settings = self._page.settings
        if not settings.cloud.project:
            raise _Refused(400, "dead letters are in a project's topics, and this page sends to a server alone")
        return settings.cloud, settings.dead_letters

    def _write(self, key: str, data: bytes) -> None:
        try:
            self._page.files.image(key).path.write_bytes(data)
        except OSError as exc:
            raise _Refused(503, f"the image cannot be kept: {plain(exc)}") from None

    async def _body(self, request: Request, limit: int) -> bytes:
        """Read a body, and no more than `limit` bytes of it. Raises _Refused."""
        stated = request.headers.get("content-length", "0")
        if stated.isdigit() and len(stated) < 19 and int(stated) > limit:
            raise _too_large(limit)
        body = bytearray()
        try:
            async for part in request.stream():
                body += part
                if len(body) > limit:
                    raise _too_large(limit)
        except ClientDisconnect:
            raise _Refused(400, "the request ended early") from None
        if not body:
            raise _Refused(400, "the body is empty; it must be an image")
        return bytes(body)


def _too_large(limit: int) -> _Refused:
    return _Refused(413, f"it is larger than {limit:,} bytes, and no more are allowed")


def _options(given: Mapping[str, str]) -> Any:
    try:
        return options_of(given)
    except UsageError as exc:
        raise _Refused(400, str(exc)) from None


def _sent(action: Callable[..., Any], *arguments: Any) -> Any:
    """Return what an action returns. Its errors become sentences, without the words of libraries."""
    try:
        return action(*arguments)
    except _Refused:
        raise
    except UsageError as exc:
        raise _Refused(400, str(exc)) from None
    except Exception as exc:
        known = isinstance(exc, SendError | StoreError) or type(exc).__module__.startswith("google.")
        if not known:
            raise
        raise _Refused(503, plain(exc)) from exc


def _json(value: Any, status: int = 200) -> Response:
    return JSONResponse(value, status, headers={"Cache-Control": "no-store"})


async def _refusal(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, _Refused)
    return _json({"error": str(exc)}, exc.status)


async def _failure(request: Request, exc: Exception) -> Response:
    return _json({"error": "the page's server failed; its terminal shows the reason"}, 500)


async def _unknown(request: Request, exc: Exception) -> Response:
    return _json({"error": "there is nothing at this address"}, getattr(exc, "status_code", 404))
