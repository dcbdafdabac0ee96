"""What serves requests in a worker whose models are in a registry, without entry points and brokers."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Any

from functions import bootstrap
from functions.messages.contract import Envelope, Request, Response
from functions.messages.request_decoder import decode
from functions.runtime.model_pool import ModelPool
from functions.service.pipeline import Pipeline
from functions.settings import Settings
from model.registry.registry import Registry
from tests.registry_models import NAME
from tests.samples import encoded

IMAGE = encoded()


class Worker:
    """What serves requests in a worker whose models are in `registry`."""

    def __init__(
        self, registry: Registry, models: str = NAME, executor: Executor | None = None, **settings: Any
    ) -> None:
        settings = {"comparison_topic": "compare", **settings}
        made = bootstrap.build(Settings(project="p", registry=registry.address, models=models, **settings), executor)
        self.pipeline: Pipeline = made.pipeline
        assert isinstance(self.pipeline.models, ModelPool)
        self.pool = self.pipeline.models

    def ask(self, model: str = "", request_id: str = "r1") -> Response:
        attributes = {"request_id": request_id, **({"model": model} if model else {})}
        request = decode(Envelope("m1", IMAGE, attributes))
        assert isinstance(request, Request)
        return self.pipeline.submit(request).result()

    def version(self, model: str = "", request_id: str = "r1") -> str:
        """The version that answers, by its labels as by its name and digest."""
        response = self.ask(model, request_id)
        assert response.model and response.error is None
        assert {each.label.split()[-1] for each in response.predictions} == {response.model.version}
        return response.model.version

    def refusal(self, model: str) -> str:
        error = self.ask(model).error
        assert error and error.code == "unknown_model"
        return error.message

    def problem(self) -> str:
        return str(self.pool.report().get("problem", ""))
