"""What the page is started with, and the ways in which its images can travel."""

from __future__ import annotations

import os
import re
import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from client.api.options import request_options
from client.gcp import Cloud, UsageError
from client.jobs.definition import Definition, current_place
from client.jobs.job import Job
from client.transport.base import SendOptions
from client.web.iap import IapTokens
from model.text import quoted

MAX_IMAGE_BYTES = 20_000_000
"""Bytes of the largest image that the page takes: the worker's default of MAX_IMAGE_BYTES."""

MAX_DROP_IMAGES, MAX_DROP_BYTES = 500, 500_000_000
"""Images, and bytes in all, that are dropped or chosen at once."""

MARK = {"web": True}
"""The selection of the jobs that the page makes."""

_COMMANDS = {"topic": "publish", "bucket": "upload", "http": "predict"}
"""The ways, by the name that the page has for them, and the command of the command line that sends the same way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where images are sent. A way without its names is not offered: `topic` needs a project, `http` a `url`.

    `registry` and `models`, or `artifact`, are those of the worker: what the page knows about the model is there.
    `subscription` is the request subscription, empty for `TOPIC-sub`. `monitoring_url` is of the server that knows its
    depth, empty for Cloud Monitoring.
    `dead_letters`: the subscription with dead letters. `iap`: what verifies each request, in the cloud.
    """

    cloud: Cloud
    upload_bucket: str = ""
    payload_bucket: str = ""
    url: str = ""
    token: str = ""
    inline_limit: int = 1_000_000
    max_bytes: int = MAX_IMAGE_BYTES
    subscription: str = ""
    monitoring_url: str = ""
    registry: str = ""
    models: str = ""
    artifact: str = ""
    dead_letters: str = "dead_predict-sub"
    iap: IapTokens | None = None

    @property
    def subscription_path(self) -> str:
        """The full resource name of the request subscription, empty where no project is set. Raises UsageError."""
        if not self.cloud.project:
            return ""
        topic = self.cloud.topic_path(self.cloud.topic)
        path = self.cloud.subscription_path(self.subscription or f"{topic.replace('/topics/', '/subscriptions/')}-sub")
        if not re.fullmatch("projects/[^/]+/subscriptions/[^/]+", path):
            raise UsageError(
                f"REQUEST_SUBSCRIPTION is {quoted(self.subscription)}; it must be a subscription's name, or "
                "projects/P/subscriptions/S"
            )
        return path

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


def is_of_page(job: Job) -> bool:
    """Whether the page has made a job."""
    return dict(job.definition.selection) == MARK


def options_of(given: Mapping[str, str]) -> SendOptions:
    """Return the options of a request from the query of an address. Raises UsageError."""
    top_k = given.get("top_k", "")
    flags = {name: given.get(name, "false") for name in ("explain", "features")}
    if top_k and not (top_k.isascii() and top_k.isdigit() and len(top_k) < 9):
        raise UsageError(f"top_k is {quoted(top_k)}; it must be a whole number from 1 to 100")
    for name, value in flags.items():
        if value not in ("true", "false"):
            raise UsageError(f"{name} is {quoted(value)}; it must be true or false")
    asked = {name: value == "true" for name, value in flags.items()}
    try:
        return request_options(int(top_k) if top_k else None, given.get("model") or None, **asked)
    except ValueError as exc:
        raise UsageError(str(exc)) from None
