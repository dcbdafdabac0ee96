"""The journal of a fault run: accepted requests, their responses, and the verdict."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from functions.errors import UNAVAILABLE
from functions.messages.contract import Response

ROUNDING = 1.01e-4
"""Scores are rounded to 4 decimals: two roundings of one number differ by one of the last digit at most."""


@dataclass(slots=True)
class _Page:
    """The responses to one request. `finals`: by digest, the first one that is not a dead-letter response."""

    copies: int = 0
    finals: dict[str, Response] = field(default_factory=dict)
    contrary: Response | None = None
    bodies: set[bytes] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a run ended. Every accepted request is answered or lost; `errors` and `dead` are among the answered.

    errors       the answer is an error of the sender's
    dead         announced as a dead letter, and nothing better came
    conflicting  two final answers of one model that differ in status, code or label, or beyond rounding in score
    duplicates   answers after a request's first
    wrong        a final answer is another than a worker without faults gives with that model
    unequal      some copies of its final answer differ in some byte (timings, say)
    models       how many models, by their digests, gave final answers
    """

    requests: int
    answered: int
    errors: int
    dead: int
    lost: int
    conflicting: int
    duplicates: int
    wrong: int
    unequal: int
    models: int = 1

    def __str__(self) -> str:
        return (
            f"requests={self.requests} answered={self.answered} errors={self.errors} dead={self.dead} "
            f"lost={self.lost} conflicting={self.conflicting} duplicates_seen={self.duplicates} "
            f"wrong={self.wrong} unequal={self.unequal} models={self.models}"
        )


class RequestJournal:
    """Records requests and their responses; thread-safe. `answered` is called at the first response to a request."""

    def __init__(self, answered: Callable[[], None] = lambda: None) -> None:
        self._changed = threading.Condition()
        self._expected: dict[str, Mapping[str, Response]] = {}
        self._pages: dict[str, _Page] = {}
        self._open = 0
        self._answered = answered
        self._heard = time.monotonic()

    def accept(self, request_id: str, *expected: Response) -> None:
        """Record an accepted request, and the answer of each model. Its response may have arrived already."""
        with self._changed:
            self._expected[request_id] = {_digest(each): each for each in expected}
            early = request_id in self._pages
            self._open += not early
        if early:
            self._answered()

    def offer(self, response: Response, body: bytes) -> None:
        """Record a response: the first one, a copy, or one to an unknown request."""
        with self._changed:
            first = response.request_id not in self._pages
            page = self._pages.setdefault(response.request_id, _Page())
            page.copies += 1
            if _final(response):
                page.bodies.add(hashlib.sha256(body).digest())
                if not alike(page.finals.setdefault(_digest(response), response), response):
                    page.contrary = response
            asked = first and response.request_id in self._expected
            self._open -= asked
            self._heard = time.monotonic()
            self._changed.notify_all()
        if asked:
            self._answered()

    def wait(self, quiet_s: float) -> bool:
        """Wait until every accepted request is answered; False when nothing came for `quiet_s` before that."""
        with self._changed:
            while self._open:
                left = self._heard + quiet_s - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
        return True

    def settle(self, quiet_s: float) -> None:
        """Wait until no copy has come for `quiet_s`."""
        with self._changed:
            while (left := self._heard + quiet_s - time.monotonic()) > 0:
                self._changed.wait(left)

    def progress(self) -> tuple[int, int]:
        """Accepted so far, and answered of them."""
        with self._changed:
            return len(self._expected), len(self._expected) - self._open

    def verdict(self) -> Verdict:
        """What is to be said about the accepted requests, now."""
        with self._changed:
            pages = {request_id: self._pages.get(request_id) for request_id in self._expected}
            found = {request_id: page for request_id, page in pages.items() if page}
            finals = {request_id: page.finals for request_id, page in found.items() if page.finals}
            return Verdict(
                requests=len(pages),
                answered=len(found),
                errors=sum(any(each.error for each in answers.values()) for answers in finals.values()),
                dead=len(found) - len(finals),
                lost=len(pages) - len(found),
                conflicting=sum(page.contrary is not None for page in found.values()),
                duplicates=sum(page.copies - 1 for page in found.values()),
                wrong=sum(not _as_expected(self._expected[each], answers) for each, answers in finals.items()),
                unequal=sum(len(page.bodies) > 1 for page in found.values()),
                models=len({digest for answers in finals.values() for digest in answers}),
            )

    def troubles(self) -> list[str]:
        """A line for each request that was lost, answered in two ways or answered wrongly."""
        with self._changed:
            lines = []
            for request_id, expected in self._expected.items():
                page = self._pages.get(request_id)
                if page is None:
                    lines.append(f"{request_id}: lost")
                elif page.contrary or not _as_expected(expected, page.finals):
                    said = [_brief(each) for each in (*page.finals.values(), page.contrary) if each]
                    wanted = " or ".join(map(_brief, expected.values()))
                    lines.append(f"{request_id}: answered {' and '.join(said)}; expected {wanted}")
            return lines


def _digest(response: Response) -> str:
    return response.model.digest if response.model else ""


def _as_expected(expected: Mapping[str, Response], finals: Mapping[str, Response]) -> bool:
    """Whether each final answer is that of its model."""
    return all(digest in expected and alike(expected[digest], each) for digest, each in finals.items())


def _brief(response: Response) -> str:
    if response.error:
        return f"{response.error.code} ({response.error.message})"
    return ", ".join(f"{each.label} {each.score}" for each in response.predictions[:2])


def alike(one: Response, other: Response) -> bool:
    """Whether two responses are equal: the same code, or the same labels with the same scores up to rounding."""
    if one.error or other.error:
        return bool(one.error and other.error and one.error.code == other.error.code)
    if [each.label for each in one.predictions] != [each.label for each in other.predictions]:
        return False
    pairs = zip(one.predictions, other.predictions, strict=True)
    return all(abs(mine.score - theirs.score) <= ROUNDING for mine, theirs in pairs)


def _final(response: Response) -> bool:
    return response.error is None or response.error.code != UNAVAILABLE
