"""What the page is started with, and the ways in which its images can travel."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from client.api.options import request_options
from client.gcp import Cloud, UsageError
from client.jobs.definition import Definition, current_place
from client.transport.base import SendOptions
from client.web.iap import IapTokens
from model.text import quoted

MAX_IMAGE_BYTES = 20_000_000
"""Bytes of the largest image that the page takes: the worker's default of MAX_IMAGE_BYTES."""

MARK = {"web": True}
"""The selection of the jobs that the page makes."""

_COMMANDS = {"topic": "publish", "bucket": "upload", "http": "predict"}
"""The ways, by the name that the page has for them, and the command of the command line that sends the same way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where images are sent. A way without its names is not offered: `topic` needs a project, `http` a `url`.

    `dead_letters`: the subscription with dead letters. `iap`: what verifies each request, in the cloud.
    """

    cloud: Cloud
    upload_bucket: str = ""
    payload_bucket: str = ""
    url: str = ""
    token: str = ""
    inline_limit: int = 1_000_000
    max_bytes: int = MAX_IMAGE_BYTES
    dead_letters: str = "dead_predict-sub"
    iap: IapTokens | None = None

    @property
    def ways(self) -> tuple[str, ...]:
        """The ways that are offered, the default first."""
        offered = {
            "topic": bool(self.cloud.project),
            "bucket": bool(self.cloud.project and self.upload_bucket),
            "http": bool(self.url),
        }
        return tuple(way for way, is_offered in offered.items() if is_offered)

    def definition(self, way: str, options: SendOptions) -> Definition:
        """Return the definition of a job of the page. Raises UsageError for a way that is not offered."""
        if way not in self.ways:
            raise UsageError(f"way is {quoted(way)}; it must be one of {', '.join(self.ways)}")
        places: dict[str, str] = {"url": self.url}
        if way != "http":
            places = {
                "project": self.cloud.project,
                "response_topic": self.cloud.response_topic,
                "bucket": self.payload_bucket if way == "topic" else self.upload_bucket,
                "client_id": uuid.uuid4().hex,
                "place": current_place(),
            }
        if way == "topic":
            places["topic"] = self.cloud.topic
        if way == "bucket":
            places["prefix"] = "web/"
        return Definition(
            command=_COMMANDS[way],
            described="images of the page",
            folder=os.getcwd(),
            machine=socket.gethostname(),
            selection=MARK,
            options=options,
            **places,
        )


def options_of(given: Mapping[str, str]) -> SendOptions:
    """Return the options of a request from the query of an address. Raises UsageError."""
    top_k, explain = given.get("top_k", ""), given.get("explain", "false")
    if top_k and not (top_k.isascii() and top_k.isdigit() and len(top_k) < 9):
        raise UsageError(f"top_k is {quoted(top_k)}; it must be a whole number from 1 to 100")
    if explain not in ("true", "false"):
        raise UsageError(f"explain is {quoted(explain)}; it must be true or false")
    try:
        return request_options(int(top_k) if top_k else None, given.get("model") or None, explain == "true")
    except ValueError as exc:
        raise UsageError(str(exc)) from None
