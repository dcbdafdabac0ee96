"""The addresses of the page's evaluation: cards of models, evaluations of jobs, and two versions compared."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from client.web.measured import Measured, Question
from client.web.model_cards import ModelCards
from client.web.page import Page
from client.web.replies import Refused, checked, read_body, reply

_LABELS_BYTES = 10_000_000
"""Bytes of the largest CSV file of labels: 100,000 images have 5 MB."""


def evaluation_routes(page: Page) -> list[Route]:
    """Return the routes below /api/evaluation."""
    cards, measured = ModelCards(page.settings), Measured(page.store, page.files, page.settings.registry)

    async def models(request: Request) -> Response:
        return await reply(cards.choices)

    async def card(request: Request) -> Response:
        model = request.query_params.get("model", "")
        return await reply(*([cards.card, model] if model else [cards.served]))

    async def jobs(request: Request) -> Response:
        return await reply(measured.jobs)

    async def evaluate(request: Request) -> Response:
        """Measure the job that the query names with the labels in the body, a CSV file or nothing."""
        labels, job = await read_body(request, _LABELS_BYTES), request.query_params.get("job", "")
        return await reply(measured.evaluation, job, labels)

    async def compare(request: Request) -> Response:
        """Compare as the query says, with the labels in the body, a CSV file or nothing."""
        labels, given = await read_body(request, _LABELS_BYTES), request.query_params
        texts = {name: given.get(name, "") for name in ("model", "stable", "candidate")}
        asked, own = Question(given.getlist("job"), **texts), given.get("labels") == "own"
        return await reply(lambda: measured.comparison(asked, labels, own=own))

    async def thumbnail(request: Request) -> Response:
        job, request_id = request.path_params["job"], request.query_params.get("request_id", "")
        data = await run_in_threadpool(checked, measured.thumbnail, job, request_id)
        if not data:
            raise Refused(404, "there is no thumbnail of this image")
        return Response(data, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=86400"})

    return [
        Route("/api/evaluation/models", models),
        Route("/api/evaluation/card", card),
        Route("/api/evaluation/jobs", jobs),
        Route("/api/evaluation/measure", evaluate, methods=["POST"]),
        Route("/api/evaluation/compare", compare, methods=["POST"]),
        Route("/api/evaluation/thumbnails/{job}", thumbnail),
    ]
