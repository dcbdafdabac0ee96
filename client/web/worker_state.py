"""What the worker says about itself over HTTP, at /ready."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from client.text import plain
from client.transport.http import CONNECT_TIMEOUT_S, endpoint
from client.web.settings import Settings

log = logging.getLogger(__name__)

_TIMEOUT_S = 10.0
"""Seconds to wait for the reply: the first one may load the model."""

_READY_BYTES = 1_000_000
"""Bytes of the largest reply that is read."""


def read_ready(settings: Settings) -> Mapping[str, Any] | None:
    """Return the reply of the worker's /ready, with `model`, a name; None without a worker or without such a reply."""
    import requests

    if not settings.url:
        return None
    address = f"{endpoint(settings.url).removesuffix('/predict')}/ready"
    headers = {"Authorization": f"Bearer {settings.token}"} if settings.token else {}
    limits = CONNECT_TIMEOUT_S, _TIMEOUT_S
    try:
        with requests.get(address, headers=headers, timeout=limits, allow_redirects=False, stream=True) as reply:
            body = json.loads(reply.raw.read(_READY_BYTES, decode_content=True))
    except Exception as exc:  # no reply, or not a worker's: the page shows what it knows without it
        log.info("%s: %s", address, plain(exc))
        return None
    return body if isinstance(body, dict) and text_of(body, "model") else None


def text_of(found: Mapping[str, Any], name: str) -> str:
    """Return a text of the reply, of at most 200 characters; "" where it is none."""
    value = found.get(name)
    return value[:200] if isinstance(value, str) else ""


def objects_of(found: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """Return the objects of a list of the reply."""
    value = found.get(name)
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
