"""The models of a worker: which one scores a request."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from functions.errors import UnknownModel
from functions.messages.contract import Decoded, Model, Request
from model.engines.base import AsyncEngine
from model.predictor import Predictor
from model.text import quoted

if TYPE_CHECKING:
    from model.combination import Combination


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class ServedModel:
    """A loaded model.

    `batches`: scores images that are decoded in its scoring threads; a combined model has none. `size`: bytes of what
    its engine loaded from disk. The engine is released with the last reference to the loaded model.
    """

    model: Model
    predictor: Predictor | Combination
    batches: AsyncEngine | None = None
    size: int = 0


@dataclass(frozen=True, slots=True)
class Shadow:
    """A model that scores copies of the requests to `alias`, for comparison only."""

    alias: str
    served: ServedModel


@dataclass(frozen=True, slots=True)
class Choice:
    """The model for one request. `error`: why it cannot be the one that the request names."""

    served: ServedModel
    error: UnknownModel | None = None
    shadows: tuple[Shadow, ...] = ()


class Models(Protocol):
    """The models of a worker. Callable from any thread."""

    @property
    def default(self) -> ServedModel:
        """The model of requests that name none."""
        ...

    def choose(self, request: Decoded) -> Future[Choice]:
        """The model for a request; the future fails with a transient failure."""
        ...

    def report(self) -> dict[str, Any]:
        """The models, and what is wrong with them, for GET /ready."""
        ...

    def backlog_s(self) -> float:
        """Seconds until the images that wait are scored."""
        ...

    def cancel(self) -> None:
        """Cancel the images that wait for their scores."""
        ...

    def finish(self) -> None:
        """Finish what needs CPU: between requests there may be none."""
        ...


def chosen(choice: Choice) -> Future[Choice]:
    """A future that has ended with a choice."""
    future: Future[Choice] = Future()
    future.set_result(choice)
    return future


def described(served: ServedModel) -> dict[str, Any]:
    """A model for GET /ready."""
    model, device = served.model, served.predictor.device
    named = {"model": model.name, "version": model.version, "digest": model.digest}
    return {**named, "engine": model.engine, "device": device}


@dataclass(frozen=True, slots=True)
class OneModel:
    """The one model of an artifact."""

    default: ServedModel

    def choose(self, request: Decoded) -> Future[Choice]:
        model, asked = self.default.model, request.options.model if isinstance(request, Request) else None
        if asked in (None, model.name, model.digest):
            return chosen(Choice(self.default))
        error = UnknownModel(f"model is {quoted(asked)}; this worker serves {model.name!r}")
        return chosen(Choice(self.default, error))

    def report(self) -> dict[str, Any]:
        return described(self.default)

    def backlog_s(self) -> float:
        return self.default.batches.backlog_s() if self.default.batches else 0.0

    def cancel(self) -> None:
        if self.default.batches:
            self.default.batches.cancel()

    def finish(self) -> None:
        """The model never changes, so there is nothing to finish."""
