"""The addresses of the page, as a Starlette application."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from client.gcp import Cloud, UsageError
from client.text import plain
from client.transport.base import SendOptions
from client.web import dead_letters
from client.web.connection import TIMEOUT_S
from client.web.encoding import encoded
from client.web.evaluation_routes import evaluation_routes
from client.web.guard import Guard
from client.web.model_routes import model_routes
from client.web.page import Page
from client.web.page_files import THUMBNAIL_BYTES, clean_name, is_key, media_type
from client.web.replies import Refused, checked, json_reply, read_body, reply, too_large
from client.web.row_number import is_row_number
from client.web.settings import options_of
from functions.entrypoints.form import read_form
from functions.errors import HTTP_STATUS, UNAVAILABLE, InvalidRequest
from functions.messages.contract import Error, encode_response, encode_time
from functions.messages.contract import Response as Answer

_STATIC = Path(__file__).with_name("static")

_FORM_BYTES = 10_000
"""Bytes of a form around its file."""

_FORM_OPTIONS = "model", "top_k", "explain", "features", "way"
"""Options that a form may state in text fields; the address takes precedence."""

_JSON_BYTES = 100_000
"""Bytes of the largest JSON body: the ids of 1,000 dead letters, or the numbers of 10,000 rows."""

Handler = Callable[[Request], Awaitable[Response]]


def application(page: Page, host: str) -> ASGIApp:
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
        Route("/api/again", handlers.again, methods=["POST"]),
        Route("/api/rows/{job}/{n:row}/thumbnail", handlers.save_thumbnail, methods=["PUT"]),
        *model_routes(page),
        Route("/api/rows/{job}/{n:row}/{what}", handlers.file),
        Route("/api/dead-letters", handlers.dead_letters),
        Route("/api/dead-letters/redrive", handlers.redrive, methods=["POST"]),
        *evaluation_routes(page),
        Mount("/static", StaticFiles(directory=_STATIC)),
    ]
    handled = {Refused: _refusal, Exception: _failure, 404: _unknown, 405: _unknown}
    # Not as middleware: the reply to an exception does not pass through it.
    return Guard(Starlette(routes=routes, exception_handlers=handled), host, page.settings.iap)


class _Handlers:
    """Blocking work runs in threads."""

    def __init__(self, page: Page) -> None:
        self._page = page

    async def index(self, request: Request) -> Response:
        return FileResponse(_STATIC / "index.html", headers={"Cache-Control": "no-cache"})

    async def facts(self, request: Request) -> Response:
        return json_reply(self._page.facts())

    async def history(self, request: Request) -> Response:
        found = await run_in_threadpool(checked, lambda: encoded(self._page.history()))
        return Response(found, media_type="application/json")

    async def live(self, request: Request) -> Response:
        return await reply(self._page.figures)

    async def events(self, request: Request) -> Response:
        return StreamingResponse(
            self._page.events.stream(), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )

    async def upload(self, request: Request) -> Response:
        """Take an image, whose bytes are the body, and reply before it is sent."""
        given = request.query_params
        key = given.get("key", "")
        if not is_key(key):
            raise Refused(400, "key must be 32 hex digits")
        name = clean_name(given.get("name", ""))
        data = await self._body(request, self._page.settings.max_bytes)
        way, options = given.get("way") or self._page.settings.ways[0], _options(given)
        await run_in_threadpool(self._write, key, data)
        return json_reply(await run_in_threadpool(checked, self._page.send, way, options, key, name), 202)

    async def again(self, request: Request) -> Response:
        """Send images of a job again, whose numbers the body names: {"job": ..., "numbers": [...]}."""
        try:
            given = json.loads(await self._body(request, _JSON_BYTES))
            job, numbers = given["job"], given["numbers"]
            is_right = isinstance(job, str) and numbers and all(map(is_row_number, numbers))
        except (ValueError, TypeError, KeyError, RecursionError):
            is_right = False
        if not is_right:
            raise Refused(400, "job must be a job's id, and numbers a list of the numbers of its images")
        return json_reply({"sent": await run_in_threadpool(checked, self._page.again, job, numbers)})

    async def predict(self, request: Request) -> Response:
        """Take an image as the body or in a form, and reply with its response, as a worker does."""
        key, settings, given = uuid.uuid4().hex, self._page.settings, dict(request.query_params)
        try:
            body = await self._body(request, settings.max_bytes + _FORM_BYTES)
            kind, _, rest = request.headers.get("content-type", "").partition(";")
            name = given.get("filename", "")
            if kind.strip().lower() == "multipart/form-data":
                boundary = rest.partition("boundary=")[2].strip().strip('"')
                form = await run_in_threadpool(read_form, body, boundary, _FORM_OPTIONS)
                body, name, given = form.data, form.filename or name, {**form.options, **given}
            if len(body) > settings.max_bytes:
                raise too_large(settings.max_bytes)
            options, way = _options(given), given.get("way") or settings.ways[0]
            await run_in_threadpool(self._write, key, body)
            answer = await self._answer(way, options, key, clean_name(name))
        except (Refused, InvalidRequest) as exc:
            status = getattr(exc, "status", 400)
            code = {413: "image_too_large", 503: UNAVAILABLE}.get(status, "invalid_request")
            answer = Answer(key, error=Error(code, str(exc)), completed_at=encode_time(datetime.now(UTC)))
        status = HTTP_STATUS[answer.error.code] if answer.error else 200
        return Response(encode_response(answer), status, media_type="application/json")

    async def _answer(self, way: str, options: SendOptions, key: str, name: str) -> Answer:
        """Send an image, and wait for its response; no thread waits with it. Raises Refused."""
        loop = asyncio.get_running_loop()
        arrived: asyncio.Future[tuple[Answer | None, str]] = loop.create_future()

        def settle(answer: Answer | None, problem: str) -> None:
            if not arrived.done():
                arrived.set_result((answer, problem))

        def take(answer: Answer | None, problem: str) -> None:
            with suppress(RuntimeError):  # the event loop has ended, and the request with it
                loop.call_soon_threadsafe(settle, answer, problem)

        await run_in_threadpool(checked, self._page.send, way, options, key, name, take)
        end = partial(settle, None, "the page's server ends; its next start sends the image")
        self._page.events.at_close.add(end)
        try:
            answer, problem = await asyncio.wait_for(arrived, TIMEOUT_S)
        except TimeoutError:
            answer, problem = None, f"no answer within {TIMEOUT_S:g} s"
        finally:
            self._page.events.at_close.discard(end)
        if answer is None:
            raise Refused(503, problem)
        return answer

    async def save_thumbnail(self, request: Request) -> Response:
        data = await self._body(request, THUMBNAIL_BYTES)
        if media_type(data) is None:
            raise Refused(400, "a thumbnail must be a JPEG, PNG or WebP image")
        job, number = request.path_params["job"], request.path_params["n"]
        try:
            await run_in_threadpool(self._page.files.write, job, number, "thumbnail", data)
        except OSError as exc:
            raise Refused(400, f"the thumbnail cannot be kept: {plain(exc)}") from None
        return Response(status_code=204)

    async def file(self, request: Request) -> Response:
        given = request.path_params
        if given["what"] not in ("thumbnail", "explanation"):
            raise Refused(404, "there is no such file")
        data = await run_in_threadpool(self._page.files.read, given["job"], given["n"], given["what"])
        if data is None or (kind := media_type(data)) is None:
            raise Refused(404, "there is no such file")
        return Response(data, media_type=kind, headers={"Cache-Control": "private, max-age=86400"})

    async def dead_letters(self, request: Request) -> Response:
        return await reply(dead_letters.listed, *self._dead_letters())

    async def redrive(self, request: Request) -> Response:
        """Redrive the dead letters whose message ids the body names: {"message_ids": [...]}."""
        try:
            ids = json.loads(await self._body(request, _JSON_BYTES))["message_ids"]
            chosen = {each for each in ids if isinstance(each, str) and each}
        except (ValueError, TypeError, KeyError, RecursionError):
            chosen = set()
        if not chosen:
            raise Refused(400, "message_ids must be a list of the message ids of dead letters")
        return await reply(dead_letters.redriven, *self._dead_letters(), chosen)

    def _dead_letters(self) -> tuple[Cloud, str]:
        """Return where dead letters are. Raises Refused."""
        settings = self._page.settings
        if not settings.cloud.project:
            raise Refused(400, "dead letters are in a project's topics, and this page sends to a server alone")
        return settings.cloud, settings.dead_letters

    def _write(self, key: str, data: bytes) -> None:
        try:
            self._page.files.image(key).path.write_bytes(data)
        except OSError as exc:
            self._page.files.drop_image(key)  # a full disk has kept a part of it
            raise Refused(503, f"the image cannot be kept: {plain(exc)}") from None

    async def _body(self, request: Request, limit: int) -> bytes:
        """Read a body that must not be empty. Raises Refused."""
        body = await read_body(request, limit)
        if not body:
            raise Refused(400, "the body is empty; it must be an image")
        return body


def _options(given: Mapping[str, str]) -> Any:
    try:
        return options_of(given)
    except UsageError as exc:
        raise Refused(400, str(exc)) from None


async def _refusal(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, Refused)
    return json_reply({"error": str(exc)}, exc.status)


async def _failure(request: Request, exc: Exception) -> Response:
    return json_reply({"error": "the page's server failed; its terminal shows the reason"}, 500)


async def _unknown(request: Request, exc: Exception) -> Response:
    return json_reply({"error": "there is nothing at this address"}, getattr(exc, "status_code", 404))
