"""The push worker: serves its paths over HTTP until SIGTERM.

`python -m functions.runtime.fast_start functions.entrypoints.server --host 0.0.0.0 --port 8080` starts it.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial

from functions import bootstrap
from functions.entrypoints.http_server import BACKLOG, HttpServer
from functions.entrypoints.routes import begin, route
from functions.runtime.process_pool import ProcessPool
from functions.settings import Settings, SettingsError

# By name: under -m, __name__ is __main__, and json_logging.py shows the logger "functions".
log = logging.getLogger("functions.entrypoints.server")


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT, in WORKER_PROCESSES processes, and end the process."""
    parser = argparse.ArgumentParser(
        prog="python -m functions.entrypoints.server",
        description="Serve the push worker over HTTP.",
        epilog="Example: python -m functions.entrypoints.server --host 127.0.0.1 --port 8080",
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default 127.0.0.1)")
    parser.add_argument(
        "--port",
        type=int,
        default=int(os.environ.get("PORT", 8080)),
        help="the port to listen on (default $PORT, or 8080)",
    )
    given = parser.parse_args(arguments)
    try:
        listener = socket.create_server((given.host, given.port), backlog=BACKLOG)
    except (OSError, OverflowError) as exc:
        sys.exit(f"cannot listen on {given.host}:{given.port} ({exc}); state a free port with --port")
    threads, settings = _threads(), _settings()
    code = 0
    if settings and settings.worker_processes > 1:
        # Each process accepts connections from the one listener.
        code = ProcessPool(
            settings.worker_processes, partial(_serve_in_pool, listener, threads), settings.source
        ).wait()
    else:
        _serve(listener, threads)
    logging.shutdown()
    os._exit(code)  # an exit would wait for threads that still block, for example on a bucket


def _settings() -> Settings | None:
    """The settings, which also configure the log. None when they are wrong: the routes report it."""
    try:
        return bootstrap.settings()
    except SettingsError:
        return None


def _serve_in_pool(listener: socket.socket, threads: int, loaded: Callable[[], None]) -> int:
    """Serve in one of several processes; returns 0.

    The model is loaded at once, because GET /ready reports on one process alone.
    """
    threading.Thread(target=_load, args=(loaded,), name="load", daemon=True).start()
    _serve(listener, threads)
    return 0


def _load(loaded: Callable[[], None]) -> None:
    try:
        bootstrap.handler()
    except Exception as exc:  # each request tries again, and reports it
        log.warning("the model could not be loaded yet: %s", exc)
    loaded()


def _serve(listener: socket.socket, threads: int) -> None:
    """Serve in this process until a signal."""
    server = HttpServer(listener, route, begin, bootstrap.request_log(), threads)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    signal.set_wakeup_fd(server.fileno(), warn_on_full_buffer=False)
    server.run()


def _threads() -> int:
    """The setting THREADS: a whole number from 1 to 1,000, like Cloud Run's concurrency."""
    value = os.environ.get("THREADS") or str(4 * (os.cpu_count() or 1))
    if value.isascii() and value.isdigit() and len(value) <= 4 and 1 <= int(value) <= 1000:
        return int(value)
    sys.exit(f"THREADS is {value!r}; it must be a whole number from 1 to 1000")


if __name__ == "__main__":
    main()
