"""The server: all services on one port, on an event loop in its own thread."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from types import TracebackType

import grpc

from infra.local.fault_plan import FaultInjector, FaultPlan
from infra.local.ports import LOOPBACK, reachable
from infra.local.pubsub import wire
from infra.local.pubsub.broker import Broker
from infra.local.pubsub.database import Database
from infra.local.pubsub.demultiplexer import Demultiplexer
from infra.local.pubsub.fault_injection import FaultyService, faulty_backlog
from infra.local.pubsub.header_limits import HeaderLimits
from infra.local.pubsub.iam import IamPolicy
from infra.local.pubsub.monitoring import Monitoring
from infra.local.pubsub.ordering import backlog
from infra.local.pubsub.persistence import DurableService, Persistence
from infra.local.pubsub.rest import Rest
from infra.local.pubsub.schemas import Schemas
from infra.local.pubsub.subscriptions import Subscriber
from infra.local.pubsub.token import JWKS_PATH
from infra.local.pubsub.topics import Publisher

_OPTIONS = (
    ("grpc.max_receive_message_length", -1),  # the services' own limits have readable messages
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),  # a port in use must be an error
)


class PubsubServer:
    """Google's Pub/Sub API on `host`, an IPv4 address, with gRPC and REST on one port, from `start` to `stop`.

    `port` 0 takes a free one; `fault_plan`: the injected faults. `data_dir`: the folder that keeps topics, messages and
    the rest across restarts, even after a kill; without it the state is lost at the end. `hold_pushes`: push delivery
    starts with a call of `push`.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        host: str = LOOPBACK,
        fault_plan: FaultPlan | None = None,
        data_dir: Path | None = None,
        hold_pushes: bool = False,
    ) -> None:
        self._address, self._wanted = host, port
        self._fault_plan, self._data_dir, self._hold = fault_plan, data_dir, hold_pushes
        self._thread = threading.Thread(target=self._run, name="pubsub", daemon=True)
        self._started: Future[int] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._broker: Broker | None = None
        self._stop = asyncio.Event()

    @property
    def host(self) -> str:
        """The value for PUBSUB_EMULATOR_HOST, `address:port`; blocks until the server listens."""
        return f"{reachable(self._address)}:{self._started.result()}"

    @property
    def jwks_url(self) -> str:
        """The URL of the public key of push tokens; blocks until the server listens."""
        return f"http://{self.host}{JWKS_PATH}"

    def start(self) -> None:
        """Start listening. OSError when the port is taken or the data folder cannot be used."""
        self._thread.start()
        self._started.result()

    def push(self) -> None:
        """Start push delivery that was held."""
        assert self._loop and self._broker, "it has been started"
        self._loop.call_soon_threadsafe(self._broker.push)

    def stop(self) -> None:
        """Stop listening, end every stream, and lose the state that no data folder keeps."""
        if self._thread.ident is None:
            return
        with contextlib.suppress(Exception):  # start has raised it
            self._started.result()  # when interrupted early, wait for the event loop first
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
        plan, schemas = self._fault_plan, Schemas()
        database = Database(self._data_dir) if self._data_dir else None
        make_backlog = partial(faulty_backlog, FaultInjector(plan, "deliveries")) if plan else backlog
        self._broker = broker = Broker(make_backlog, database.first_id if database else 0)
        resources: dict[str, Mapping[str, object]] = {
            "topics": broker.topics,
            "subscriptions": broker.subscriptions,
            "snapshots": broker.snapshots,
            "schemas": schemas.schemas,
        }
        policies = IamPolicy(resources)
        persistence = Persistence(database, broker, schemas, policies) if database else None
        calls = FaultInjector(plan, "pubsub") if plan else None

        def guarded(methods: object) -> object:
            methods = DurableService(persistence, methods) if persistence else methods
            return FaultyService(calls, methods) if calls else methods

        server, limits = grpc.aio.server(options=_OPTIONS), HeaderLimits()
        services = {
            "google.pubsub.v1.Publisher": guarded(Publisher(broker, schemas)),
            "google.pubsub.v1.SchemaService": guarded(schemas),
            "google.pubsub.v1.Subscriber": guarded(Subscriber(broker, limits)),
            "google.iam.v1.IAMPolicy": guarded(policies),
        }
        server.add_generic_rpc_handlers([wire.handler(name, service) for name, service in services.items()])
        rest = Monitoring(broker, Rest(services.values(), broker.tokens.documents))
        demultiplexer = Demultiplexer(server.add_insecure_port("127.0.0.1:0"), rest, limits)
        try:
            port = await self._open(demultiplexer)
            await server.start()
            if not self._hold:
                broker.push()
            self._started.set_result(port)
            await self._stop.wait()
            # In this order, streams end as by an outage, without an error that their subscriptions are gone.
            await server.stop(grace=None)
        finally:
            await demultiplexer.close()
            broker.close()
            if persistence:
                await persistence.close()

    async def _open(self, demultiplexer: Demultiplexer) -> int:
        try:
            return await demultiplexer.open(self._address, self._wanted)
        except OSError as exc:
            wanted = f"{self._address}:{self._wanted}"
            raise OSError(f"the Pub/Sub server cannot listen on {wanted}; is the port taken?") from exc
