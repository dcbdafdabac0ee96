"""The Storage server: the package's handlers behind threads, one change at a time, with what the package lacks."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterable
from http import HTTPStatus
from types import TracebackType
from typing import Any

from gcp_storage_emulator.exceptions import BadRequest
from gcp_storage_emulator.handlers import buckets, objects
from gcp_storage_emulator.handlers.objects import GoogleHTTPStatus
from gcp_storage_emulator.server import HANDLERS

from infra.local.chaos import BadDay, Dice
from infra.local.ports import LOOPBACK, reachable
from infra.local.storage import batch, changes, reading
from infra.local.storage.answer import Answer
from infra.local.storage.configs import Configs
from infra.local.storage.connections import Connections
from infra.local.storage.notify import Notifier
from infra.local.storage.preconditions import source_verdict, verdict
from infra.local.storage.requests import READS, StorageRequest, source, target
from infra.local.storage.store import ObjectStore

_ROUTES = tuple((re.compile(pattern), methods) for pattern, methods in HANDLERS)
_NEED_ONE = READS | {objects.delete, objects.patch}
_DELETES = frozenset({objects.delete, buckets.delete})
_OURS = {
    objects.copy: changes.copy,
    objects.rewrite: changes.copy,
    objects.compose: changes.compose,
    objects.patch: changes.change_object,
    objects.download: reading.download,
    objects.ls: reading.list_objects,
    buckets.insert: changes.create_bucket,
    buckets.patch: changes.change_bucket,
    buckets.ls: reading.list_buckets,
}
_OF_BUCKETS = frozenset({buckets.get, buckets.patch, buckets.delete})
_log = logging.getLogger("infra.local.storage")


class StorageServer:
    """Google's Storage JSON API on `host`, an IPv4 address, from `start` to `stop`; also a context manager.

    `port` 0 takes a free one; `bad_day` makes requests fail.
    `notifier` is told of every change before the request that made it is answered.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        host: str = LOOPBACK,
        names: Iterable[str] = (),
        notifier: Notifier | None = None,
        bad_day: BadDay | None = None,
    ) -> None:
        # The package logs every missing object as an error.
        for name in ("gcp_storage_emulator", "api.object", "api.bucket"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._store = ObjectStore()
        self._notifier = notifier
        self.dice = Dice(bad_day or BadDay(), "storage")
        self._configs = Configs(notifier.watches if notifier else ())
        self._changing = threading.Lock()
        self._failures: list[tuple[int, str]] = []
        try:
            self._http = Connections((host, port))
        except OSError as exc:
            raise OSError(f"the Storage server cannot listen on {host}:{port}; is the port taken?") from exc
        self._http.storage = self
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), name="storage", daemon=True)
        for name in names:
            buckets.create_bucket(name, self._store)

    @property
    def url(self) -> str:
        """What STORAGE_EMULATOR_HOST wants: `http://address:port`."""
        return f"http://{reachable(str(self._http.server_address[0]))}:{self._http.server_port}"

    def fail(self, status: int = 503, times: int = 1, path: str = "") -> None:
        """Answer the next `times` requests whose path holds `path` with `status`; `times=0` ends an earlier call."""
        with self._changing:
            self._failures = [(status, path)] * times

    def objects(self, bucket: str) -> list[str]:
        """The names of a bucket's objects, whatever the day is like."""
        with self._changing:
            return sorted(self._store.objects.get(bucket, {}))

    def start(self) -> None:
        """Answer requests."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering and forget everything."""
        if self._thread.is_alive():
            self._http.shutdown()
        self._http.server_close()
        self._http.cut()
        if self._notifier:
            self._notifier.close()

    def __enter__(self) -> StorageServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def answer(self, request: StorageRequest, answer: Answer) -> None:
        """Fill in the answer to a request, then tell what changed; callable from any thread."""
        with self._changing:
            self._handle(request, answer)
            events = self._store.take_events()
        for event in events:
            if self._notifier:
                self._notifier.tell(event, self._configs.wanting(event))

    def _handle(self, request: StorageRequest, answer: Answer) -> None:
        if self._failures and self._failures[0][1] in request.path:
            answer.refuse(self._failures.pop(0)[0], "This failure was asked for")
            return
        try:
            if request.path == batch.PATH:
                batch.answer_batch(request, answer, self._handle)
            elif not self._configs.answer(request, answer, self._store):
                self._handle_package(request, answer)
        except BadRequest as exc:
            answer.refuse(400, str(exc), "invalid")
        except Exception:
            _log.exception("%s %s", request.method, request.path)
            answer.refuse(500, "The local Storage server failed; its log says how")

    def _handle_package(self, request: StorageRequest, answer: Answer) -> None:
        handler = _route(request)
        if handler is None:
            answer.refuse(501, f"{request.method} {request.path} is not covered by the local Storage server")
            return
        if "upload_id" in request.query and self._settled(request, answer):
            return
        if status := self._verdict(request, handler):
            answer.refuse(status, "The object is not the one that the request's conditions ask for", "conditionNotMet")
            return
        self._check_hashes(request, handler)
        _OURS.get(handler, handler)(request, answer, self._store)
        bucket = request.params.get("bucket_name", "")
        if answer.status == HTTPStatus.NOT_FOUND:
            there = self._store.get_bucket(bucket)
            words = f"No such object in {bucket}" if there else f"The bucket {bucket} does not exist"
            answer.refuse(404, words, "notFound")
        elif handler is buckets.delete and answer.status == HTTPStatus.CONFLICT:
            answer.refuse(409, f"The bucket {bucket} is not empty; delete its objects first", "conflict")
        elif handler in _DELETES:
            answer.status = 204
            if handler is buckets.delete:
                self._configs.forget(bucket)
        elif answer.status == GoogleHTTPStatus.RESUME_INCOMPLETE and not self._received(request):
            answer.headers.pop("Range", None)  # the package says that a byte is there

    def _check_hashes(self, request: StorageRequest, handler: Any) -> None:
        """Have the bytes of an upload compared with its X-Goog-Hash; a resumable one's when they are all there."""
        told = request.get_header("X-Goog-Hash", "")
        if not told:
            return
        if "upload_id" in request.query:
            if started := self._store.resumable.get(request.query["upload_id"][0]):
                started.update(changes.hashes(told))
        elif handler is objects.xml_upload or request.query.get("uploadType") == ["media"]:
            changes.check_hashes(told, request.body)

    def _received(self, request: StorageRequest) -> int:
        return self._store.get_resumable_byte_count(request.query["upload_id"][0])

    def _settled(self, request: StorageRequest, answer: Answer) -> bool:
        """Answer what needs no handler about a resumable upload; True when that was all."""
        upload_id = request.query["upload_id"][0]
        if made := self._store.finished(upload_id):
            answer.json(made)
        elif request.method == "DELETE":
            self._store.cancel(upload_id)
            answer.refuse(499, "The upload is cancelled")
        else:
            return False
        return True

    def _verdict(self, request: StorageRequest, handler: Any) -> int | None:
        if "softDeleted" in request.query:
            return None
        asked = request.conditions
        if handler in _OF_BUCKETS:
            bucket = self._store.get_bucket(request.params["bucket_name"])
            return verdict(asked, bucket, reads=handler is buckets.get) if bucket else None
        copied, at = source(request, handler), target(request, handler, self._store)
        if copied and (current := self._store.current(*copied)) and (status := source_verdict(asked, current)):
            return status
        if not at:
            return None
        current = self._store.current(*at)
        if current is None and handler in _NEED_ONE:
            return None  # the handler's own 404
        return verdict(asked, current, reads=handler in READS)


def _route(request: StorageRequest) -> Any:
    for pattern, methods in _ROUTES:
        if match := pattern.fullmatch(request.path):
            request.set_match(match)
            if match.groupdict().get("bucket_name") == "storage" and request.path.startswith("/storage/v1/"):
                return None  # not an object's public address but a method that is not covered
            if request.method == "PUT" and "PATCH" in methods:
                return methods["PATCH"]
            handler = methods.get(request.method)
            if handler is objects.get and request.query.get("alt") == ["media"]:
                return objects.download
            # Some clients leave out /upload when they are told of an emulator.
            return objects.insert if handler is None and "uploadType" in request.query else handler
    return None
