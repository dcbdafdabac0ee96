"""The server: every service on one port, on an event loop in a thread of its own, so that anything can hold it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from functools import partial
from types import TracebackType

import grpc

from infra.local.chaos import BadDay, Dice
from infra.local.ports import LOOPBACK, check_free, reachable
from infra.local.pubsub import wire
from infra.local.pubsub.broker import Broker
from infra.local.pubsub.iam import IAM_POLICY, IamPolicy
from infra.local.pubsub.schemas import SCHEMA_SERVICE, Schemas
from infra.local.pubsub.subscriptions import Subscriber
from infra.local.pubsub.token import JWKS_PATH
from infra.local.pubsub.topics import Publisher
from infra.local.pubsub.weather import Refusing, bad_backlog

_OPTIONS = (
    ("grpc.max_receive_message_length", -1),  # our own limits answer in words
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),  # a port in use is an error, not a second server on it
)


class PubsubServer:
    """Google's Pub/Sub API on `host`, an IPv4 address, from `start` to `stop`; also a context manager.

    `port` 0 takes a free one; `jwks_port` is where the public key of push tokens is served; `bad_day` is what goes
    wrong. Nothing is kept: a stopped server has forgotten its topics and messages.
    """

    def __init__(
        self, port: int = 0, *, host: str = LOOPBACK, jwks_port: int = 0, bad_day: BadDay | None = None
    ) -> None:
        self._address, self._wanted, self._jwks_wanted = host, port, jwks_port
        self._day = bad_day
        self._thread = threading.Thread(target=self._run, name="pubsub", daemon=True)
        self._started: Future[tuple[int, int]] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()

    @property
    def host(self) -> str:
        """What PUBSUB_EMULATOR_HOST wants: `address:port`; blocks until the server listens."""
        return f"{reachable(self._address)}:{self._started.result()[0]}"

    @property
    def jwks_url(self) -> str:
        """Where the public key of push tokens is; blocks until the server listens."""
        return f"http://{reachable(self._address)}:{self._started.result()[1]}{JWKS_PATH}"

    def start(self) -> None:
        """Listen; OSError when the port is taken."""
        self._thread.start()
        self._started.result()

    def stop(self) -> None:
        """Stop listening, end every stream, forget everything."""
        if self._thread.ident is None:
            return
        with contextlib.suppress(Exception):  # start has told it
            self._started.result()  # interrupted early: first let it have a loop that can be told to stop
        if self._loop and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def __enter__(self) -> PubsubServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as exc:
            if self._started.done():
                raise
            self._started.set_exception(exc)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        day, schemas = self._day, Schemas()
        broker = Broker(partial(bad_backlog, Dice(day, "deliveries"))) if day else Broker()
        resources: dict[str, Mapping[str, object]] = {
            "topics": broker.topics,
            "subscriptions": broker.subscriptions,
            "snapshots": broker.snapshots,
            "schemas": schemas.schemas,
        }
        server = grpc.aio.server(options=_OPTIONS, interceptors=[Refusing(day)] if day else None)
        server.add_generic_rpc_handlers(
            (
                wire.handler("google.pubsub.v1.Publisher", wire.PUBLISHER, Publisher(broker, schemas)),
                wire.handler("google.pubsub.v1.SchemaService", SCHEMA_SERVICE, schemas),
                wire.handler("google.pubsub.v1.Subscriber", wire.SUBSCRIBER, Subscriber(broker)),
                wire.handler("google.iam.v1.IAMPolicy", IAM_POLICY, IamPolicy(resources)),
            )
        )
        wanted = f"{self._address}:{self._wanted}"
        try:
            check_free(self._address, self._wanted)  # first, as gRPC prints a line of its own about a taken port
            port = server.add_insecure_port(wanted)
        except (OSError, RuntimeError) as exc:
            raise OSError(f"the Pub/Sub server cannot listen on {wanted}; is the port taken?") from exc
        jwks_port = await broker.tokens.serve(self._address, self._jwks_wanted)
        await server.start()
        self._started.set_result((port, jwks_port))
        await self._stop.wait()
        # In this order: streams are cut off, as by an outage, not told that their subscriptions are gone.
        await server.stop(grace=None)
        broker.close()
        broker.tokens.close()
