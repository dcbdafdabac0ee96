"""The gunicorn worker class of the push worker: its main loop reads and writes the sockets, threads answer requests.

Silent connections, slow heads, slow small bodies and unread responses hold no thread. Requests with larger bodies, or
bodies of unknown length, have threads of their own, which wait for the body: slow senders do not delay small requests.
`GET /health` has a thread of its own; this module knows no other path and does not import the application.
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
from functions.entrypoints.request_head import Refused, refusal
from functions.settings import SettingsError

log = logging.getLogger(__name__)

SEND_S, STOP_SEND_S = 30.0, 4.0
"""Seconds in which a sender must read its response, and additional seconds for that when the worker stops (6 s in all).
"""

LINGER_S, LINGER_BYTES = 2.0, 1_000_000
"""Seconds and bytes for which a closed connection is still read: a reset could destroy the response."""

DRAIN_BYTES = 65_536
"""Most bytes of an unread body that are skipped; with a larger body the connection is closed."""

WAITING, QUEUED, QUEUED_LARGE = 500, 300, 100
"""Most connections that wait for their sender, requests that wait for a thread, and requests with large bodies that do.
Together they fit into the 1,024 open files of a process. Above these limits the connection that has waited longest is
closed, and a request is refused.
"""

_LOOK_S = 0.25
_READ_BYTES = 65_536
_BUSY = Refused(503, "too many requests wait; try again")
_FAULT = Refused(500, "the request could not be answered")


class Worker(ThreadWorker):
    """gunicorn's threaded worker, with limits for connections that have not reached a thread."""

    def init_process(self) -> None:
        """Set up the process after its fork, and serve until it ends."""
        self._waiting: dict[Connection, None] = {}
        self._under_way: Counter[ThreadPoolExecutor] = Counter()
        self._looked, self._latest = 0.0, math.inf
        self._health = ThreadPoolExecutor(1, "health")
        self._streamed = ThreadPoolExecutor(self.cfg.threads, "streamed")
        self.worker_connections = (
            WAITING + QUEUED + QUEUED_LARGE + 2 * self.cfg.threads + 2
        )  # never reached: it always accepts
        with suppress(SettingsError):  # the routes say so
            bootstrap.settings()  # which also directs the log
        super().init_process()

    def accept(self, listener: socket.socket) -> None:
        """Take a connection and what it has sent already."""
        try:
            sock, client = listener.accept()
        except OSError as exc:  # most are the new connection's own; another one can be accepted next time
            if exc.errno in (errno.EMFILE, errno.ENFILE) and not self._close_oldest():
                time.sleep(_LOOK_S)
            return
        sock.setblocking(False)
        self.nr_conns += 1
        conn = Connection(self.cfg, sock, client, listener.getsockname())
        conn.until = time.monotonic() + HEAD_S
        self._wait(conn)
        self._receive(conn)
        if len(self._waiting) > WAITING:
            self._close_oldest()

    def handle(self, conn: Connection) -> None:
        """Answer the request of a connection, in a thread, which never waits for the response to be taken."""
        conn.socket.setblocking(True)  # for the body; request_body.py ends a reading that takes too long
        try:
            conn.keeps = bool(self.handle_request(conn.request, conn))
        except Exception:
            log.exception("a request could not be answered")
            conn.keeps, conn.output[:] = False, _reply(_FAULT)
        conn.socket.setblocking(False)
        try:
            conn.send()
            conn.keeps &= bool(conn.parser.finish_body(max_bytes=DRAIN_BYTES))
        except Exception as exc:  # the sender is gone, has more to send, or has sent malformed chunks
            self.log.debug("connection ends: %r", exc)
            conn.keeps = False

    def finish_request(self, conn: Connection, threads: ThreadPoolExecutor, done: Future[None]) -> None:
        """Go on with a connection that one of these threads is done with."""
        done.result()
        self._under_way[threads] -= 1
        conn.until = time.monotonic() + SEND_S
        self._wait(conn)
        self._send(conn)

    def murder_pending(self) -> None:
        """End the patience with connections that have waited long enough. The main loop calls it every second."""
        now = time.monotonic()
        if now < self._looked + _LOOK_S:
            return
        self._looked = now
        for conn in list(self._waiting):
            if min(conn.until, self._latest + STOP_SEND_S if conn.output else self._latest) > now:
                continue
            if conn.output or conn.linger_bytes or not self._go_on(conn, conn.expire):
                self._close(conn)

    def murder_keepalived(self, force: bool = False) -> None:
        """Close every connection that waits, when the process ends."""
        if force:
            for conn in list(self._waiting):
                self._close(conn)

    def _cap_keepalive(self, deadline: float) -> None:
        """The worker stops: wait no longer than until then for senders, and not much longer for large bodies."""
        self._latest = deadline
        request_body.hurry()

    def _wait(self, conn: Connection) -> None:
        self._waiting[conn] = None
        self.poller.register(conn.socket, selectors.EVENT_READ, self._step(conn))

    def _leave(self, conn: Connection) -> None:
        del self._waiting[conn]
        self.poller.unregister(conn.socket)

    def _step(self, conn: Connection) -> Callable[[object], None]:
        """What the main loop does when the socket of a connection is ready."""

        def step(_: object) -> None:
            if conn in self._waiting:  # it may have been closed since the poller saw it
                (self._send if conn.output else self._receive)(conn)

        return step

    def _send(self, conn: Connection) -> None:
        """Send what is left of a response; when all is sent, wait for the next request, or close."""
        try:
            conn.send()
        except OSError:  # the sender is gone
            self._close(conn)
            return
        wanted = selectors.EVENT_WRITE if conn.output else selectors.EVENT_READ
        self.poller.modify(conn.socket, wanted, self._step(conn))
        if conn.output:
            return
        if conn.keeps:
            self._go_on(conn, partial(conn.next_request, self.cfg.keepalive))
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
            self._go_on(conn, lambda: conn.receive(data))
        elif not self._go_on(conn, conn.end):
            self._close(conn)

    def _go_on(self, conn: Connection, step: Callable[[], bool]) -> bool:
        """Take a step of a connection; its request goes to a thread, or is refused. Returns whether it did either."""
        try:
            ready = step()
        except StopIteration:  # the sender said that it would close
            self._linger(conn)
        except Exception as exc:
            if not (refused := refusal(exc)):
                log.exception("a request could not be read")
            self._refuse(conn, refused or _FAULT)
        else:
            if ready:
                self._submit(conn)
            return ready
        return True

    def _submit(self, conn: Connection) -> None:
        if conn.is_streamed:
            threads, most = self._streamed, self.cfg.threads + QUEUED_LARGE
        elif conn.request.path == "/health" and conn.request.method in ("GET", "HEAD"):
            threads, most = self._health, math.inf
        else:
            threads, most = self.tpool, self.cfg.threads + QUEUED
        if self._under_way[threads] >= most:
            self._refuse(conn, _BUSY)
            return
        self._leave(conn)
        self._under_way[threads] += 1
        done = threads.submit(self.handle, conn)
        done.add_done_callback(partial(self.method_queue.defer, self.finish_request, conn, threads))

    def _refuse(self, conn: Connection, refused: Refused) -> None:
        """Answer from the main loop, count it, and close."""
        request_log = bootstrap.request_log()
        (request_log.refused if refused is _BUSY else request_log.malformed)(str(refused))
        conn.keeps, conn.output[:] = False, _reply(refused)
        conn.until = time.monotonic() + SEND_S
        self._send(conn)

    def _linger(self, conn: Connection) -> None:
        """Say that nothing follows, and wait a moment for the sender to close."""
        conn.linger_bytes, conn.until = LINGER_BYTES, time.monotonic() + LINGER_S
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
        self._leave(conn)
        self.nr_conns -= 1
        conn.socket.close()


def _reply(refused: Refused) -> bytes:
    text = f"{refused}\n"
    head = f"HTTP/1.1 {refused.status} {HTTPStatus(refused.status).phrase}\r\nConnection: close\r\n"
    head += f"Content-Type: text/plain; charset=utf-8\r\nContent-Length: {len(text)}\r\n\r\n"
    return (head + text).encode()
