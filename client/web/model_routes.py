"""The addresses of the page for the choice of a model, and for similar images."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from client.web.models import ServedModels
from client.web.page import Page
from client.web.replies import reply
from client.web.similar import SimilarRows


def model_routes(page: Page) -> list[Route]:
    """Return the routes /api/models and /api/rows/JOB/N/similar."""
    served, rows = ServedModels(page.settings), SimilarRows(page.store, page.files)

    async def models(request: Request) -> Response:
        return await reply(served.listed)

    async def similar(request: Request) -> Response:
        return await reply(rows.of, request.path_params["job"], request.path_params["n"])

    return [Route("/api/models", models), Route("/api/rows/{job}/{n:row}/similar", similar)]
