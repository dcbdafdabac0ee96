"""The HTTP server of the push worker: one thread, the main loop, waits for senders; other threads answer what blocks.

Idle connections, slow heads, slow small bodies and unread responses occupy no thread. A request that needs no waiting
begins in the main loop, and its reply may come from any thread: a change of thread would take longer than the request.
A thread must wait for a body that is large or of unknown length. Such requests have a thread pool of their own, so that
slow senders never delay small requests.
"""

from __future__ import annotations

import errno
import logging
import math
import socket
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial

from functions.entrypoints.connections import Connection
from functions.entrypoints.http import HttpReply, HttpRequest, Reply, text_reply
from functions.entrypoints.poller import READ, WRITE, Poller
from functions.entrypoints.reply_format import encode_reply
from functions.entrypoints.request_body import shorten_deadlines
from functions.entrypoints.request_head import RequestError
from functions.observability.request_log import RequestLog

log = logging.getLogger(__name__)

SEND_S = 30.0
"""Seconds in which a sender must read its response."""

STOP_RECEIVE_S, STOP_SEND_S, STOP_S = 2.0, 6.0, 9.0
"""Seconds after the signal to stop: until no more requests are received, until senders must have read their responses,
and until the server ends, whatever it still does. Cloud Run ends the process after 10 s.
"""

LINGER_S, LINGER_BYTES = 2.0, 1_000_000
"""Seconds for which, and bytes up to which, a connection is read after this side has closed it. Without the reading, a
TCP reset could destroy the response before the sender reads it.
"""

MAX_WAITING, MAX_QUEUED, MAX_QUEUED_LARGE = 500, 300, 100
"""Maximum connections that wait for their sender, requests that wait for a thread or for their scores, and requests
with large bodies that wait for a thread of their pool. All fit the usual limit of 1,024 open files. Above MAX_WAITING
the server closes the connection that has waited longest; above the others it rejects the request.
"""

BACKLOG = 1024
"""Connections that may wait to be accepted."""

_CHECK_INTERVAL_S = 0.25
_READ_BYTES = 65_536
_BUSY = RequestError(503, "the worker has too many requests; try again")
_INTERNAL_ERROR = RequestError(500, "the request could not be answered")
_INTERNAL_REPLY = text_reply(_INTERNAL_ERROR.status, str(_INTERNAL_ERROR))


class HttpServer:
    """Serves HTTP/1.1 on a socket that listens.

    `route` answers a request, and may block. `begin` begins to answer a request if that never blocks, and returns
    whether it did; it calls its second argument once with the reply, from any thread. `threads`: for `route`.
    """

    def __init__(
        self,
        listener: socket.socket,
        route: Callable[[HttpRequest], HttpReply],
        begin: Callable[[HttpRequest, Reply], bool],
        request_log: RequestLog,
        threads: int,
    ) -> None:
        self._listener, self._route, self._begin, self._log = listener, route, begin, request_log
        self._pool, self._large = ThreadPoolExecutor(threads, "request"), ThreadPoolExecutor(threads, "large")
        self._begun = object()
        self._most = {
            self._pool: threads + MAX_QUEUED,
            self._large: threads + MAX_QUEUED_LARGE,
            self._begun: MAX_QUEUED,
        }
        self._active: Counter[object] = Counter()
        """Requests that are being answered, by the pool that does it, or `_begun`."""
        self._waiting: dict[Connection, None] = {}
        """Connections that wait for their sender, the longest first."""
        self._done: deque[tuple[Connection, object, HttpReply, bool]] = deque()
        self._poller = Poller(listener)
        self._checked_at, self._stopped_at = 0.0, math.inf

    def fileno(self) -> int:
        """The file descriptor for signal.set_wakeup_fd: a signal wakes the main loop."""
        return self._poller.fileno()

    def stop(self) -> None:
        """End soon: accept no more connections, and answer what was received. A signal handler may call it."""
        if self._stopped_at == math.inf:
            self._stopped_at = time.monotonic()

    def run(self) -> None:
        """Serve until `stop`."""
        is_stopping = False
        while not (is_stopping and self._is_finished()):
            self._poller.sleep()
            timeout_s = 0 if self._done else _CHECK_INTERVAL_S if self._waiting or is_stopping else None
            for connection in self._poller.ready(timeout_s):
                if connection:
                    self._step(connection)
                else:
                    self._accept()
            while self._done:
                self._finish(*self._done.popleft())
            if self._stopped_at != math.inf and not is_stopping:
                is_stopping = True
                self._refuse()
            self._check_deadlines()

    def _is_finished(self) -> bool:
        is_idle = not self._waiting and not +self._active
        return is_idle or time.monotonic() > self._stopped_at + STOP_S

    def _refuse(self) -> None:
        """Accept the connections that are established already, and no more."""
        while self._accept():
            pass
        self._poller.close_listener()
        shorten_deadlines()

    def _accept(self) -> bool:
        """Accept a connection and read the data that it has sent already. Returns whether there was one."""
        try:
            sock, _ = self._listener.accept()
        except OSError as exc:  # most errors concern only the new connection; the next one can be accepted
            if exc.errno in (errno.EMFILE, errno.ENFILE) and not self._close_oldest():
                time.sleep(_CHECK_INTERVAL_S)
            return False
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        conn = Connection(sock)
        self._waiting[conn] = None
        self._poller.watch(conn, READ)
        self._receive(conn)
        if len(self._waiting) > MAX_WAITING:
            self._close_oldest()
        return True

    def _step(self, conn: Connection) -> None:
        """Continue with a connection whose socket is ready."""
        if conn.events & WRITE:
            self._send(conn)
        elif conn in self._waiting:
            self._receive(conn)
        else:  # its request is being answered, or it has closed since it was ready
            self._poller.watch(conn, 0)

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
            self._advance(conn, partial(conn.receive, data))
        elif not self._advance(conn, conn.end):
            self._close(conn)

    def _advance(self, conn: Connection, step: Callable[[], bool]) -> bool:
        """Run a step of a connection, then submit or reject its request. Returns whether the request was ready."""
        try:
            if ready := step():
                self._submit(conn)
            return ready
        except RequestError as exc:
            self._reject(conn, exc)
        except OSError:  # the sender has closed
            self._close(conn)
        except Exception:
            log.exception("a request could not be read")
            self._reject(conn, _INTERNAL_ERROR)
        return True

    def _submit(self, conn: Connection) -> None:
        kind = self._large if conn.is_streamed else self._begun
        request = conn.request
        if kind is self._begun:
            if self._active[self._begun] < self._most[self._begun]:
                del self._waiting[conn]
                self._active[kind] += 1
                if self._begins(request, partial(self._reply, conn, kind)):
                    return
                self._active[kind] -= 1
                self._waiting[conn] = None
            kind = self._pool
        if self._active[kind] >= self._most[kind]:
            raise _BUSY
        assert isinstance(kind, Executor)
        kind.submit(self._answer, conn, request, kind)
        del self._waiting[conn]
        self._active[kind] += 1
        if kind is self._large:
            self._poller.watch(conn, 0)

    def _begins(self, request: HttpRequest, reply: Reply) -> bool:
        try:
            return self._begin(request, reply)
        except Exception:
            log.exception("a request could not be answered")
            reply(_INTERNAL_REPLY)
            return True

    def _answer(self, conn: Connection, request: HttpRequest, kind: object) -> None:
        """Answer the request of a connection in a thread, which does not wait for the sender to read the response."""
        reply, can_follow = _INTERNAL_REPLY, False
        conn.socket.setblocking(True)  # to read the body; request_body.py enforces its deadline
        try:
            reply = self._route(request)
        except Exception:
            log.exception("a request could not be answered")
        conn.socket.setblocking(False)
        try:
            can_follow = conn.skip_body()
        except (OSError, ValueError) as exc:  # the sender has closed, has more to send, or has sent malformed chunks
            log.debug("the connection closes: %r", exc)
        finally:
            self._reply(conn, kind, reply, can_follow=can_follow)

    def _reply(self, conn: Connection, kind: object, reply: HttpReply, *, can_follow: bool = True) -> None:
        """Hand a reply to the main loop, from any thread."""
        self._done.append((conn, kind, reply, can_follow))
        self._poller.wake()

    def _finish(self, conn: Connection, kind: object, reply: HttpReply, can_follow: bool) -> None:
        """Continue with a connection whose request is answered."""
        self._active[kind] -= 1
        self._waiting[conn] = None
        self._begin_sending(conn, reply, can_follow and self._stopped_at == math.inf)

    def _reject(self, conn: Connection, error: RequestError) -> None:
        """Send an error reply, count the request, and close the connection."""
        (self._log.refused if error is _BUSY else self._log.malformed)(str(error))
        self._begin_sending(conn, text_reply(error.status, str(error)), False)

    def _begin_sending(self, conn: Connection, reply: HttpReply, can_follow: bool) -> None:
        conn.keep_alive &= can_follow
        conn.output = encode_reply(reply, conn.head, keep_alive=conn.keep_alive)
        conn.deadline = time.monotonic() + SEND_S
        self._send(conn)

    def _send(self, conn: Connection) -> None:
        """Send more of the response. After its last byte, wait for the next request, or close."""
        try:
            conn.send()
        except OSError:  # the sender has closed
            self._close(conn)
            return
        self._poller.watch(conn, WRITE if conn.output else READ)
        if conn.output:
            return
        if conn.keep_alive:
            self._advance(conn, conn.next_request)
        else:
            self._linger(conn)

    def _check_deadlines(self) -> None:
        """Enforce the deadlines of waiting connections."""
        now = time.monotonic()
        if now < self._checked_at + _CHECK_INTERVAL_S:
            return
        self._checked_at = now
        stop_receiving, stop_sending = self._stopped_at + STOP_RECEIVE_S, self._stopped_at + STOP_SEND_S
        for conn in list(self._waiting):
            if min(conn.deadline, stop_sending if conn.output else stop_receiving) > now:
                continue
            if conn.output or conn.linger_bytes or not self._advance(conn, conn.expire):
                self._close(conn)

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
        del self._waiting[conn]
        self._poller.watch(conn, 0)
        conn.socket.close()
