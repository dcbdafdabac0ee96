"""What a job sends and where to: enough to go on with it in another process."""

from __future__ import annotations

import json
import os
import secrets
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from client.emulators import PUBSUB
from client.gcp import Cloud
from client.text import printable
from client.transport.base import SendOptions

PLACES = ("Google Cloud", "an emulator")

MAX_NAMED, MAX_NAME_LENGTH = 3, 120
"""Paths that a description or an error names, and characters of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """The command that made a job, and its settings. Names that do not apply are empty.

    `described` tells in a few words what is sent, and `selection` holds the parameters that name it. `client_id` is the
    `reply_to` of the requests, empty where no response is requested. `subscription` is one that existed before; without
    it the job has its own. `place` is where the topics are: one of PLACES, empty for a job over HTTP or Kafka. `broker`
    is the address of the Kafka cluster that has the topics, and `kafka_config` the file with the properties for it.
    `folder` is the command's working folder, where the selection's relative paths begin, and `machine` the host where
    its files lie.
    """

    command: str
    described: str
    project: str = ""
    topic: str = ""
    response_topic: str = ""
    subscription: str = ""
    client_id: str = ""
    bucket: str = ""
    prefix: str = ""
    url: str = ""
    place: str = ""
    broker: str = ""
    kafka_config: str = ""
    folder: str = ""
    machine: str = ""
    selection: Mapping[str, Any] = field(default_factory=dict)
    options: SendOptions = field(default_factory=SendOptions)

    @property
    def cloud(self) -> Cloud:
        """Where the topics are. A job without a request topic has Cloud's."""
        topics = {"topic": self.topic} if self.topic else {}
        return Cloud(
            self.project,
            response_topic=self.response_topic,
            broker=self.broker,
            kafka_config=self.kafka_config,
            **topics,
        )

    @property
    def ordering_key(self) -> str:
        """The name of the video whose frames are published in their order; empty for other images."""
        return os.path.basename(str(self.selection.get("video", "")))

    def way_on(self, job_id: str) -> str:
        """Return the command, after `predictions`, that sends what is left of the job."""
        folder = self.selection.get("folder")
        return f"{self.command} " + (printable(shlex.quote(folder)) if folder else f"--resume {job_id}")

    def to_json(self) -> str:
        """Return the definition as a JSON object."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Definition:
        """Read what `to_json` returned. Raises ValueError for anything else."""
        try:
            values: dict[str, Any] = json.loads(text)
            options = SendOptions(**values.pop("options"))
            return cls(
                options=options, **{field.name: values[field.name] for field in fields(cls) if field.name in values}
            )
        except (TypeError, KeyError, AttributeError) as exc:
            raise ValueError(f"it is no definition of a job: {exc}") from None


def current_place(environ: Mapping[str, str] = os.environ) -> str:
    """Return where Google's clients of this process find the topics."""
    return PLACES[bool(environ.get(PUBSUB))]


def described(names: Sequence[str]) -> str:
    """Return the named images in a few words."""
    more = f" and {len(names) - MAX_NAMED:,} more" if len(names) > MAX_NAMED else ""
    return " ".join(text[:MAX_NAME_LENGTH] for text in names[:MAX_NAMED]) + more


def new_job_id() -> str:
    """Return a new id. Ids sort by time: date, time (UTC) and eight random hex digits."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"
