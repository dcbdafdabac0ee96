"""The HTTP server of the push worker.

`python -m functions.runtime.fast_start functions.entrypoints.server --host 0.0.0.0 --port 8080` starts it.

The server is gunicorn with the worker class of gunicorn_worker.py. It serves the application that functions-framework
makes of functions/main.py. The framework's own command has no option for a worker class or for limits.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from functions import bootstrap  # noqa: F401

# isort: split
# bootstrap is imported first because it has the longest chain of imports. Python 3.11 maps the stack in chunks: it maps
# the next chunk at each call across the edge of a chunk, and unmaps it at the return. If gunicorn_worker imported
# bootstrap first, the chain would cross an edge 5,000 times, which takes 25 ms of a start.
from functions_framework import create_app
from gunicorn.app.base import BaseApplication

from functions.entrypoints.gunicorn_worker import Worker
from functions.entrypoints.request_head import FIELD_BYTES, FIELDS, LINE_BYTES

_MAIN = Path(__file__).resolve().parents[1] / "main.py"


class Server(BaseApplication):
    """gunicorn with the configuration of the push worker."""

    def __init__(self, bind: str) -> None:
        self._bind = bind
        self._app = create_app("serve", str(_MAIN))
        super().__init__()

    def load_config(self) -> None:
        """Apply the settings of functions-framework, and limits. request_head.py has the limits that gunicorn lacks."""
        settings = {
            "bind": self._bind,
            "workers": int(os.environ.get("WORKERS", 1)),
            "threads": int(os.environ.get("THREADS", 4 * (os.cpu_count() or 1))),
            "worker_class": Worker,
            "timeout": 0,  # each request has deadlines of its own
            "loglevel": os.environ.get("GUNICORN_LOG_LEVEL", "error"),
            "forwarded_allow_ips": "",  # trust no X-Forwarded-Proto header
            "forwarder_headers": "",  # trust no SCRIPT_NAME header, which changes the path
            "limit_request_line": LINE_BYTES,
            "limit_request_fields": FIELDS,
            "limit_request_field_size": FIELD_BYTES,
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """The WSGI application."""
        return self._app


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM."""
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
    Server(f"{given.host}:{given.port}").run()


if __name__ == "__main__":
    main()
