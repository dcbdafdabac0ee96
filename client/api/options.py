"""Checks the options of the Python API, and names the argument, its value and what is allowed."""

from __future__ import annotations

from typing import Literal, TypedDict

from client.gcp import MAX_SECONDS
from client.transport.base import SendOptions
from functions.messages.contract import MAX_LINES, TOP_K_LIMIT
from model.text import printable

Gather = int | Literal["auto"]
"""Images in a message."""


class RequestOptions(TypedDict, total=False):
    """The options of the requests of one call; see `predict`."""

    top_k: int | None
    model: str | None
    explain: bool
    features: bool
    expires_in_s: float | None
    gather: Gather


def request_options(
    top_k: int | None = None,
    model: str | None = None,
    explain: bool = False,
    expires_in_s: float | None = None,
    features: bool = False,
    gather: Gather = 1,
) -> SendOptions:
    """Return the options of each request. Raises ValueError."""
    if top_k is not None and (type(top_k) is not int or not 1 <= top_k <= TOP_K_LIMIT):
        raise _refusal("top_k", top_k, f"a whole number from 1 to {TOP_K_LIMIT}")
    if model is not None and not (isinstance(model, str) and model):
        raise _refusal("model", model, "the name or the digest of a model")
    for name, value in (("explain", explain), ("features", features)):
        if not isinstance(value, bool):
            raise _refusal(name, value, "True or False")
    expires = None if expires_in_s is None else checked_seconds("expires_in_s", expires_in_s)
    if gather != "auto" and not (type(gather) is int and 1 <= gather <= MAX_LINES):
        raise _refusal("gather", gather, f"a whole number from 1 to {MAX_LINES}, or 'auto'")
    return SendOptions(top_k, model, expires, explain, features, gather)


def checked_seconds(name: str, value: float) -> float:
    """Return a number of seconds. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MAX_SECONDS:
        raise _refusal(name, value, f"a number of seconds above 0, at most {MAX_SECONDS:,}")
    return float(value)


def _refusal(name: str, value: object, allowed: str) -> ValueError:
    return ValueError(f"{name} is {printable(repr(value))[:80]}; it must be {allowed}")
