"""What the clients with and without asyncio share: their settings, their life, and the start of a call."""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack

from client.api.call import Call
from client.api.calls import Calls
from client.api.connection import MakeTransport, cloud_of, connection_to, payload_bucket_of
from client.api.errors import PredictionsError
from client.api.inputs import GivenImage
from client.api.options import checked_seconds
from client.gcp import CALL_TIMEOUT_S, UsageError
from client.jobs.definition import Definition, current_place, described
from client.jobs.store import default_path
from client.loopback import keep_from_proxies
from client.sources.objects import SCHEME, object_lister
from client.text import plain
from client.transport.base import SendOptions

_SENDING_S = 2.0
"""Seconds that closing waits for images that are being sent: a publish takes milliseconds where the broker answers."""

_NOT_OPEN = "this client is not open: use it in a with statement"
_CLOSED = "this client is closed: its with statement has ended, and another one needs another client"


class Client:
    """The base class of the clients. A client is used in one `with` statement."""

    def __init__(
        self,
        project: str | None = None,
        *,
        broker: str | None = None,
        topic: str | None = None,
        response_topic: str | None = None,
        subscription: str | None = None,
        bucket: str | None = None,
        url: str | None = None,
        token: str | None = None,
        timeout_s: float = 60.0,
    ) -> None:
        """Read the settings; nothing connects before the `with` statement.

        - `project`: the project's id; by default GOOGLE_CLOUD_PROJECT.
        - `broker`: `pubsub`, or the address of a Kafka cluster, `kafka://HOST:PORT[,HOST:PORT...]`, for which the file
          KAFKA_CONFIG has more properties; by default PREDICTIONS_BROKER, or Pub/Sub.
        - `topic`: the request topic; by default REQUEST_TOPIC, or `req_predict`.
        - `response_topic`: the response topic; by default RESPONSE_TOPIC, or `res_predict`.
        - `subscription`: an existing subscription, for the responses of this client alone; by default the client
          creates one and deletes it at the end.
        - `bucket`: the bucket for images of more than INLINE_LIMIT bytes (1,000,000); by default PAYLOAD_BUCKET.
        - `url`: the address of an HTTP endpoint, which is then used instead of the topics.
        - `token`: the identity token for an HTTP endpoint with restricted access; by default ENDPOINT_TOKEN.
        - `timeout_s`: seconds without any response after which the images in flight fail; above 0, at most a week.

        Raises ValueError, which names the wrong argument, and PredictionsError when no project is set.
        """
        self._timeout_s = checked_seconds("timeout_s", timeout_s)
        self._calls = Calls()
        try:
            self._connection = connection_to(
                self._calls,
                os.environ,
                self._timeout_s,
                project=project,
                broker=broker,
                topic=topic,
                response_topic=response_topic,
                subscription=subscription,
                bucket=bucket,
                url=url,
                token=token,
            )
        except UsageError as exc:
            raise PredictionsError(str(exc)) from None
        self._cloud = cloud_of(os.environ, project, broker, topic, response_topic)
        self._payload_bucket = payload_bucket_of(os.environ, bucket)
        self._not_for_jobs = "url" if url is not None else "subscription" if subscription else ""
        self._list_objects = object_lister(self._cloud)
        self._opened = ExitStack()
        self._make_transport: MakeTransport | None = None
        self._closed = False
        self._changing = threading.Lock()

    def _open(self) -> None:
        """Connect. Raises PredictionsError, also where the client was used before."""
        with self._changing:
            if self._closed or self._make_transport:
                raise PredictionsError(_CLOSED if self._closed else "this client is open already")
            keep_from_proxies(os.environ)  # gRPC and requests read these variables, and an emulator is on this machine
            try:
                self._make_transport = self._opened.enter_context(self._connection)
            except Exception as exc:
                self._closed = True
                raise PredictionsError(str(exc) if isinstance(exc, UsageError) else plain(exc)) from exc

    def _close(self) -> None:
        """End all calls and the connection. Images that are being sent are waited for, _SENDING_S seconds at most."""
        with self._changing:
            self._closed = True
            self._calls.fail(_CLOSED)
            self._calls.join(_SENDING_S)  # a publisher that is closed earlier never says that their sending has ended
            self._opened.close()
            self._calls.join(CALL_TIMEOUT_S)

    def _check_open(self) -> None:
        if self._closed or not self._make_transport:
            raise PredictionsError(_CLOSED if self._closed else _NOT_OPEN)

    def _checked(self, options: SendOptions) -> SendOptions:
        """Return the options. Raises ValueError for one that this client cannot honour."""
        if options.gather != 1 and self._not_for_jobs == "url":
            raise ValueError(f"gather is {options.gather!r}; images posted to a url are not gathered: leave it out")
        return options

    def _start(
        self, images: Iterator[GivenImage], options: SendOptions, ordered: bool, wake: Callable[[], None] | None = None
    ) -> Call:
        """Start a call, whose images are sent by threads. Raises PredictionsError."""
        self._check_open()
        assert self._make_transport
        call = Call(self._timeout_s, ordered=ordered, wake=wake)
        self._calls.start(call, images, self._make_transport(call, options))
        return call

    def _job_definition(self, paths: list[str], options: SendOptions) -> Definition:
        """Return the definition of a job of this client. Raises ValueError where it does not use its own topics."""
        if self._not_for_jobs:
            raise ValueError(
                f"this client has the argument {self._not_for_jobs}, and a job is published to a topic and has its own "
                f"subscription; create a client without {self._not_for_jobs}"
            )
        listed = any(path.startswith(SCHEME) for path in paths)  # other images are all known before one is sent
        return Definition(
            command="publish",
            described=described(paths),
            project=self._cloud.project,
            topic=self._cloud.topic,
            response_topic=self._cloud.response_topic,
            client_id=uuid.uuid4().hex,
            bucket=self._payload_bucket,
            place="" if self._cloud.broker else current_place(),
            broker=self._cloud.broker,
            kafka_config=self._cloud.kafka_config,
            folder=os.getcwd(),
            machine=socket.gethostname(),
            selection={"paths": paths} if listed else {},
            options=options,
        )


def place_of(state: str | os.PathLike[str] | None) -> str:
    """Return where the job store is, whatever the working folder will be. Raises TypeError."""
    if state is None:
        state = os.environ.get("PREDICTIONS_STATE") or default_path()
    if not isinstance(state, str | os.PathLike) or not isinstance(path := os.fspath(state), str):
        raise TypeError(f"state is of the type {type(state).__name__}; it must be the path of a job store")
    if not path:
        raise ValueError("state is ''; it must be the path of a job store")
    return path if "://" in path else os.path.abspath(path)
