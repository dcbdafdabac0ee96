"""One pulled message from its arrival to its ack, each step done by the thread that ended the one before."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from functions.messages.contract import Envelope, Response
from functions.service.in_flight import Begun, Pending
from functions.service.pipeline import Service
from model.errors import Withdrawn


class Delivered(Protocol):
    """A message that came, to be settled once."""

    @property
    def envelope(self) -> Envelope: ...
    def ack(self) -> None: ...
    def nack(self) -> None: ...


Answered = Callable[[Envelope], "Future[Response] | Future[Response | None]"]
"""Gives what the answer to an envelope will be."""


def on_message(message: Delivered, answered: Answered, service: Service, pending: Pending) -> None:
    """Begin to answer one message; it is acked when the broker has the response, and nacked for every failure."""
    work = _Work(message, service, pending, pending.begin())
    try:
        answer = answered(message.envelope)
    except Exception as exc:  # in the stream's own thread, which it would end
        work.settle(exc)
        return
    answer.add_done_callback(work.publish)


@dataclass(frozen=True, slots=True)
class _Work:
    """One message from its arrival to its ack; each step is done by the thread that ended the one before."""

    message: Delivered
    service: Service
    pending: Pending
    begun: Begun

    def publish(self, answered: Future[Response] | Future[Response | None]) -> None:
        try:
            response = answered.result()
            published = self.service.responses.publish(response) if response else None
        except Exception as exc:
            self.settle(exc)
            return
        if response is None or published is None:
            self.settle(None)
            return
        published.add_done_callback(partial(self._confirm, response))

    def _confirm(self, response: Response, published: Future[str]) -> None:
        try:
            published.result()
        except Exception as exc:
            self.settle(exc)
        else:
            self.settle(None, response)

    def settle(self, failure: Exception | None, response: Response | None = None) -> None:
        try:
            if failure:
                # Told before it is done: a dead letter that can be seen has its reasons in the log.
                if isinstance(failure, Withdrawn):
                    self.service.outcomes.handed_back(self.message.envelope)
                else:
                    self.service.outcomes.nacked(self.message.envelope, failure)
                self.message.nack()
                return
            self.message.ack()
            if response:
                self.service.outcomes.answered(response)
        finally:
            self.pending.settle(self.begun)
