"""The client: the command line program `predictions`, and the Python API `from client import Predictions`.

The names of the API are imported when they are first used, so that `predictions --help` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from client.api.async_predictions import AsyncPredictions
    from client.api.errors import PredictionsError
    from client.api.job_status import JobStatus
    from client.api.predictions import Predictions
    from client.api.result import Result
    from client.api.submitted_job import AsyncSubmittedJob, SubmittedJob
    from model.labels import Explanation, Prediction

__all__ = [
    "AsyncPredictions",
    "AsyncSubmittedJob",
    "Explanation",
    "JobStatus",
    "Prediction",
    "Predictions",
    "PredictionsError",
    "Result",
    "SubmittedJob",
]

_MODULES = {
    "AsyncPredictions": "client.api.async_predictions",
    "AsyncSubmittedJob": "client.api.submitted_job",
    "Explanation": "model.labels",
    "JobStatus": "client.api.job_status",
    "Prediction": "model.labels",
    "Predictions": "client.api.predictions",
    "PredictionsError": "client.api.errors",
    "Result": "client.api.result",
    "SubmittedJob": "client.api.submitted_job",
}
"""The module of each name."""


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
