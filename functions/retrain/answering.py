"""Answers one training request: checks what it may ask for, runs its job, and turns the result into an answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from functions.messages.contract import Error, Model, Response, Timing, encode_time
from functions.messages.training import (
    RejectedTraining,
    Scores,
    Training,
    TrainingAnswer,
    TrainingRequest,
    version_of,
)
from functions.retrain.process import JobTooLong, run_job
from functions.retrain.settings import TrainSettings
from model.text import quoted

RunJob = Callable[[Mapping[str, Any], float, Path], dict[str, Any]]
"""Runs a job; see `run_job`."""

_IMAGE_BYTES = 20_000_000
"""Maximum bytes of an image that is trained on: what the worker reads by default."""


def answer(
    request: TrainingRequest | RejectedTraining, settings: TrainSettings, run: RunJob = run_job
) -> TrainingAnswer:
    """Answer a request. Blocks while it trains. Raises JobFailed, or OSError, for what another attempt may not meet."""
    began = time.monotonic()
    if isinstance(request, RejectedTraining):
        result = _refused(request.reason)
    elif not settings.is_allowed_data(request.data):
        result = _refused(f"data is {quoted(request.data)}; it must be {settings.data} or below it")
    else:
        try:
            result = run(_job(request, settings), settings.max_s, Path(settings.work))
        except JobTooLong as exc:
            result = _refused(f"the training was ended because {exc}; use fewer images or epochs")
    received = datetime.now(UTC)
    queue = (received - request.published_at).total_seconds() if request.published_at else 0.0
    total_ms = 1000 * (time.monotonic() - began)
    response = Response(
        request.request_id,
        error=Error(**result["error"]) if "error" in result else None,
        model=Model(**result["model"]) if "model" in result else None,
        timing_ms=Timing(
            queue=max(0.0, round(1000 * queue - total_ms, 1)),
            fetch=round(result.get("fetch_ms", 0.0), 1),
            total=round(total_ms, 1),
        ),
        delivery_attempt=request.delivery_attempt,
        completed_at=encode_time(received),
        reply_to=request.reply_to,
    )
    return TrainingAnswer(request.kind, response, _training(result["training"]) if "training" in result else None)


def _job(request: TrainingRequest, settings: TrainSettings) -> dict[str, Any]:
    """The job, as model/training/retrain/job.py describes it."""
    return {
        "kind": request.kind,
        "registry": settings.registry,
        "model": request.model,
        "data": request.data,
        "base": request.base,
        "version": version_of(request),
        "key": request.key,
        "config": dict(request.config),
        "is_new": settings.may_be_new(request.model),
        "weights": settings.weights,
        "engines": settings.engine_names,
        "margin": settings.margin,
        "limits": {
            "images": settings.max_images,
            "total_bytes": settings.max_bytes,
            "image_bytes": _IMAGE_BYTES,
        },
    }


def _refused(message: str) -> dict[str, Any]:
    return {"error": {"code": "invalid_request", "message": message}}


def _training(found: dict[str, Any]) -> Training:
    base = {name: found[f"base_{name}"] for name in Scores.__slots__}
    return Training(
        found["images"],
        Scores(**{name: found[name] for name in Scores.__slots__}),
        found["candidate"],
        found["message"],
        found["base"],
        found["base_version"],
        Scores(**base) if found["base"] else None,
    )
