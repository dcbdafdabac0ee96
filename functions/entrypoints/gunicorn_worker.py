"""The gunicorn worker class of the push worker: the main loop waits for senders, and threads answer requests.

Idle connections, slow heads, slow small bodies and unread responses occupy no thread. A thread must wait for a body
that is large or of unknown length. Such requests have a thread pool of their own, so that slow senders never delay
small requests. `GET /health` has a thread of its own. It is the only path that this module knows, and this module does
not import the application.
"""

from __future__ import annotations

import errno
import logging
import math
import selectors
import socket
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from http import HTTPStatus

from gunicorn.workers.gthread import ThreadWorker

from functions import bootstrap
from functions.entrypoints import request_body
from functions.entrypoints.connections import HEAD_S, Connection
from functions.entrypoints.request_head import RequestError, request_error
from functions.settings import SettingsError

log = logging.getLogger(__name__)

SEND_S, STOP_SEND_S = 30.0, 4.0
"""Seconds in which a sender must read its response: SEND_S, and in a stopping worker STOP_SEND_S after it has stopped
waiting for requests, which is 6 s in all.
"""

LINGER_S, LINGER_BYTES = 2.0, 1_000_000
"""Seconds for which, and bytes up to which, a connection is read after this side has closed it. Without the reading, a
TCP reset could destroy the response before the sender reads it.
"""

DRAIN_BYTES = 65_536
"""Maximum bytes of an unread body that are skipped to reach the next request; above it the connection is closed."""

MAX_WAITING, MAX_QUEUED, MAX_QUEUED_LARGE = 500, 300, 100
"""Maximum connections that wait for their sender, requests that wait for a thread, and requests with large bodies that
wait for a thread of their pool. All fit the usual limit of 1,024 open files. Above MAX_WAITING the worker closes the
connection that has waited longest; above the others it rejects the request.
"""

_CHECK_INTERVAL_S = 0.25
_READ_BYTES = 65_536
_BUSY = RequestError(503, "the worker has too many requests; try again")
_INTERNAL_ERROR = RequestError(500, "the request could not be answered")


class Worker(ThreadWorker):
    """gunicorn's threaded worker, with other rules for connections that have no thread yet."""

    def init_process(self) -> None:
        """Set up the process after its fork, and serve until it ends."""
        self._waiting: dict[Connection, None] = {}
        self._active: Counter[ThreadPoolExecutor] = Counter()
        self._checked_at, self._stop_deadline = 0.0, math.inf
        self._health = ThreadPoolExecutor(1, "health")
        self._streamed = ThreadPoolExecutor(self.cfg.threads, "streamed")
        self.worker_connections = (
            MAX_WAITING + MAX_QUEUED + MAX_QUEUED_LARGE + 2 * self.cfg.threads + 2
        )  # above all other limits, so that the worker always accepts connections
        with suppress(SettingsError):  # the routes report it
            bootstrap.settings()  # also configures logging
        super().init_process()

    def accept(self, listener: socket.socket) -> None:
        """Accept a connection and read the data that it has sent already."""
        try:
            sock, client = listener.accept()
        except OSError as exc:  # most errors concern only the new connection; the next one can be accepted
            if exc.errno in (errno.EMFILE, errno.ENFILE) and not self._close_oldest():
                time.sleep(_CHECK_INTERVAL_S)
            return
        sock.setblocking(False)
        self.nr_conns += 1
        conn = Connection(self.cfg, sock, client, listener.getsockname())
        conn.deadline = time.monotonic() + HEAD_S
        self._wait_for_socket(conn)
        self._receive(conn)
        if len(self._waiting) > MAX_WAITING:
            self._close_oldest()

    def handle(self, conn: Connection) -> None:
        """Answer the request of a connection in a thread, which does not wait for the sender to read the response."""
        conn.socket.setblocking(True)  # to read the body; request_body.py enforces its deadline
        try:
            conn.keep_alive = bool(self.handle_request(conn.request, conn))
        except Exception:
            log.exception("a request could not be answered")
            conn.keep_alive, conn.output[:] = False, _reply(_INTERNAL_ERROR)
        conn.socket.setblocking(False)
        try:
            conn.send()
            conn.keep_alive &= bool(conn.parser.finish_body(max_bytes=DRAIN_BYTES))
        except Exception as exc:  # the sender has closed, has more to send, or has sent malformed chunks
            self.log.debug("the connection closes: %r", exc)
            conn.keep_alive = False

    def finish_request(self, conn: Connection, threads: ThreadPoolExecutor, done: Future[None]) -> None:
        """Continue with a connection whose request a thread of this pool has answered."""
        done.result()
        self._active[threads] -= 1
        conn.deadline = time.monotonic() + SEND_S
        self._wait_for_socket(conn)
        self._send(conn)

    def murder_pending(self) -> None:
        """Enforce the deadlines of waiting connections. The main loop calls it every second."""
        now = time.monotonic()
        if now < self._checked_at + _CHECK_INTERVAL_S:
            return
        self._checked_at = now
        for conn in list(self._waiting):
            if min(conn.deadline, self._stop_deadline + STOP_SEND_S if conn.output else self._stop_deadline) > now:
                continue
            if conn.output or conn.linger_bytes or not self._advance(conn, conn.expire):
                self._close(conn)

    def murder_keepalived(self, force: bool = False) -> None:
        """Close all waiting connections when the process ends."""
        if force:
            for conn in list(self._waiting):
                self._close(conn)

    def _cap_keepalive(self, deadline: float) -> None:
        """Stop waiting for senders at `deadline`, and for large bodies soon after, because the worker stops."""
        self._stop_deadline = deadline
        request_body.shorten_deadlines()

    def _wait_for_socket(self, conn: Connection) -> None:
        self._waiting[conn] = None
        self.poller.register(conn.socket, selectors.EVENT_READ, self._step(conn))

    def _stop_waiting(self, conn: Connection) -> None:
        del self._waiting[conn]
        self.poller.unregister(conn.socket)

    def _step(self, conn: Connection) -> Callable[[object], None]:
        """Return the callback of the main loop for a socket that is ready."""

        def step(_: object) -> None:
            if conn in self._waiting:  # it may have closed since the poller reported it
                (self._send if conn.output else self._receive)(conn)

        return step

    def _send(self, conn: Connection) -> None:
        """Send more of the response. After its last byte, wait for the next request, or close."""
        try:
            conn.send()
        except OSError:  # the sender has closed
            self._close(conn)
            return
        wanted = selectors.EVENT_WRITE if conn.output else selectors.EVENT_READ
        self.poller.modify(conn.socket, wanted, self._step(conn))
        if conn.output:
            return
        if conn.keep_alive:
            self._advance(conn, partial(conn.next_request, self.cfg.keepalive))
        else:
            self._linger(conn)

    def _receive(self, conn: Connection) -> None:
        try:
            data = conn.socket.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if conn.linger_bytes:
            conn.linger_bytes -= len(data)
            if not data or conn.linger_bytes <= 0:
                self._close(conn)
        elif data:
            self._advance(conn, lambda: conn.receive(data))
        elif not self._advance(conn, conn.end):
            self._close(conn)

    def _advance(self, conn: Connection, step: Callable[[], bool]) -> bool:
        """Run a step of a connection, then submit or reject its request. Returns whether the request was ready."""
        try:
            ready = step()
        except StopIteration:  # the sender asked to close the connection
            self._linger(conn)
        except Exception as exc:
            if not (error := request_error(exc)):
                log.exception("a request could not be read")
            self._reject(conn, error or _INTERNAL_ERROR)
        else:
            if ready:
                self._submit(conn)
            return ready
        return True

    def _submit(self, conn: Connection) -> None:
        if conn.is_streamed:
            threads, most = self._streamed, self.cfg.threads + MAX_QUEUED_LARGE
        elif conn.request.path == "/health" and conn.request.method in ("GET", "HEAD"):
            threads, most = self._health, math.inf
        else:
            threads, most = self.tpool, self.cfg.threads + MAX_QUEUED
        if self._active[threads] >= most:
            self._reject(conn, _BUSY)
            return
        self._stop_waiting(conn)
        self._active[threads] += 1
        done = threads.submit(self.handle, conn)
        done.add_done_callback(partial(self.method_queue.defer, self.finish_request, conn, threads))

    def _reject(self, conn: Connection, error: RequestError) -> None:
        """Send an error reply from the main loop, count the request, and close the connection."""
        request_log = bootstrap.request_log()
        (request_log.refused if error is _BUSY else request_log.malformed)(str(error))
        conn.keep_alive, conn.output[:] = False, _reply(error)
        conn.deadline = time.monotonic() + SEND_S
        self._send(conn)

    def _linger(self, conn: Connection) -> None:
        """Close the sending direction, and wait LINGER_S for the sender to close."""
        conn.linger_bytes, conn.deadline = LINGER_BYTES, time.monotonic() + LINGER_S
        try:
            conn.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(conn)

    def _close_oldest(self) -> bool:
        """Close the connection that has waited longest. Returns whether there was one."""
        if oldest := next(iter(self._waiting), None):
            self._close(oldest)
        return bool(oldest)

    def _close(self, conn: Connection) -> None:
        self._stop_waiting(conn)
        self.nr_conns -= 1
        conn.socket.close()


def _reply(error: RequestError) -> bytes:
    text = f"{error}\n"
    head = f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\nConnection: close\r\n"
    head += f"Content-Type: text/plain; charset=utf-8\r\nContent-Length: {len(text)}\r\n\r\n"
    return (head + text).encode()
