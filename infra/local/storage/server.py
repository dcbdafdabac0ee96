"""The Storage server: answers requests, one change at a time, and publishes notifications to Pub/Sub."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import TracebackType

from infra.local.fault_plan import FaultInjector, FaultPlan
from infra.local.ports import LOOPBACK, reachable
from infra.local.storage import addresses, batch, buckets, configs, cors, retry_tests
from infra.local.storage.answer import Answer, Refusal
from infra.local.storage.connections import Connections
from infra.local.storage.notify import Notifier
from infra.local.storage.partial import chosen
from infra.local.storage.request import Request
from infra.local.storage.routes import API_METHODS, UNLOCKED, Handler, api_method, refusals, route
from infra.local.storage.signatures import SigningKeys
from infra.local.storage.store import Store
from infra.local.storage.uploads import received_bytes

_log = logging.getLogger("infra.local.storage")


class StorageServer:
    """Google's Storage JSON API on `host`, an IPv4 address, from `start` to `stop`; also a context manager.

    `port` 0 takes a free one. `names`: buckets, of `project` or without one of every project. `fault_plan`: the
    injected faults. `data_dir`: the folder that keeps everything across restarts, even after a kill; without it the
    state is lost. `signing_keys`: the folder of public keys by which signed URLs are checked; without it none is.
    `notifier` publishes every change before the request is answered. Raises OSError when the port is
    taken or a folder cannot be used.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        host: str = LOOPBACK,
        names: Iterable[str] = (),
        project: str = "",
        notifier: Notifier | None = None,
        fault_plan: FaultPlan | None = None,
        data_dir: Path | None = None,
        signing_keys: Path | None = None,
    ) -> None:
        self._signing_keys = SigningKeys(signing_keys)
        self._retry_tests = retry_tests.RetryTests()
        self._notifier = notifier
        self.faults = FaultInjector(fault_plan or FaultPlan(), "storage")
        self._failures: list[tuple[int, str]] = []
        self._failing = threading.Lock()
        try:
            self._http = Connections((host, port))
        except OSError as exc:
            raise OSError(f"the Storage server cannot listen on {host}:{port}; is the port taken?") from exc
        try:
            self._store = Store(data_dir)
        except OSError:
            self._http.server_close()
            raise
        self.spool = self._store.bodies
        self._http.storage = self
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), name="storage", daemon=True)
        self._stopped = False
        with self._store.change():
            for name in names:
                if not self._store.get("bucket", "", name):
                    buckets.make(self._store, name, {}, project)
            for watch in notifier.watches if notifier else ():
                configs.keep(self._store, watch)

    @property
    def url(self) -> str:
        """The value for STORAGE_EMULATOR_HOST: `http://address:port`."""
        return f"http://{reachable(str(self._http.server_address[0]))}:{self._http.server_port}"

    def fail(self, status: int = 503, times: int = 1, path: str = "") -> None:
        """Answer the next `times` requests whose path contains `path` with `status`; `times=0` ends an earlier call."""
        with self._failing:
            self._failures = [(status, path)] * times

    def objects(self, bucket: str) -> list[str]:
        """The names of a bucket's objects, read without injected faults."""
        with self._store.change():
            return [row.name for row in self._store.rows("object", bucket)]

    def start(self) -> None:
        """Start answering requests."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering. Without a data folder the state is lost."""
        self._stopped = True
        if self._thread.is_alive():
            self._http.shutdown()
        self._http.server_close()
        self._http.cut()
        self._store.close()
        if self._notifier:
            self._notifier.close()

    def __enter__(self) -> StorageServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def answer(self, request: Request) -> Answer:
        """The response to a request, after its notifications are published; callable from any thread."""
        answer = self._handle(request)
        if request.headers.get("Origin") and request.method != "OPTIONS":
            answer.headers |= cors.headers(request, self._store)
        for event in self._store.take_events():
            if self._notifier:
                with self._store.change():
                    watches = configs.matching(self._store, event)
                self._notifier.notify(event, watches, request.base_url)
        return answer

    def _call(self, handler: Handler, request: Request) -> Answer:
        with nullcontext() if handler in UNLOCKED else self._store.change():
            found = handler(request, self._store)
        if isinstance(found, Mapping) and (fields := request.query.get("fields")):
            found = chosen(found, fields)
        return Answer.of(found)

    def _handle(self, request: Request) -> Answer:
        with self._failing:
            if self._failures and self._failures[0][1] in request.path:
                return refusals(request)(self._failures.pop(0)[0], "An injected failure")
        try:
            request.signing_keys = self._signing_keys
            self._signing_keys.check(request)
            if request.path == addresses.BATCH:
                return batch.answer_batch(request, self._handle)
            if managed := self._retry_tests.manage(request, API_METHODS):
                return managed
            handler = route(request)
            if handler is None:
                reason = f"{request.method} {request.path} is not supported by the local Storage server"
                return refusals(request)(501, reason, "notImplemented")
            if retry_tests.HEADER not in request.headers:
                return self._call(handler, request)
            method, received = api_method(request, handler), received_bytes(request, self._store)
            return self._retry_tests.obey(request, method, partial(self._call, handler, request), received)
        except Refusal as exc:
            return refusals(request)(exc.status, str(exc), exc.reason, exc.code)
        except Exception:
            if self._stopped:
                raise ConnectionAbortedError("the server was stopped") from None
            _log.exception("%s %s", request.method, request.path)
            return refusals(request)(500, "The local Storage server failed; see its log")
