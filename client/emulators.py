"""Checks the variables by which Google's libraries find an emulator, because these libraries do not.

A wrong or old address would otherwise cost 20 s of retries and end in an error that does not name the variable.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

from client.gcp import UsageError
from client.text import SendError, printable

PUBSUB, STORAGE = "PUBSUB_EMULATOR_HOST", "STORAGE_EMULATOR_HOST"

_CONNECT_TIMEOUT_S = 2.0
"""Seconds to wait for a connection: an emulator is on this machine or near it."""


def check_form(*names: str, environ: Mapping[str, str] = os.environ) -> None:
    """Check that each of these variables that is set has its form. Raises UsageError."""
    for name in names:
        _address(name, environ)


def check_answers(*names: str, environ: Mapping[str, str] = os.environ) -> None:
    """Check in addition that a server accepts connections there. Raises UsageError or SendError."""
    for name in names:
        address = _address(name, environ)
        try:
            if address:
                socket.create_connection(address, _CONNECT_TIMEOUT_S).close()
        except OSError:
            raise SendError(
                f"{name} is {printable(environ[name][:100])}, and nothing answers there: start the local twin "
                f"(predictions up) and repeat its line with --env, or unset {name}"
            ) from None


def monitoring_url(environ: Mapping[str, str] = os.environ) -> str:
    """Return the URL at which the local twin answers calls of Cloud Monitoring, empty where no twin is named."""
    address = environ.get(PUBSUB, "")
    return f"http://{address}" if address else ""


def _address(name: str, environ: Mapping[str, str]) -> tuple[str, int] | None:
    """Return the host and port of a variable, and None where it is not set. Raises UsageError."""
    value = environ.get(name, "")
    if not value:
        return None
    # Pub/Sub's clients expect an address for gRPC, those of Cloud Storage a URL.
    form, example = ("HOST:PORT", "127.0.0.1:8085") if name == PUBSUB else ("http://HOST:PORT", "http://127.0.0.1:9023")
    try:
        url = urlsplit(f"//{value}" if name == PUBSUB else value)
        if url.hostname and (url.port or name == STORAGE) and (name == STORAGE) == (url.scheme in ("http", "https")):
            return url.hostname, url.port or (443 if url.scheme == "https" else 80)
    except ValueError:
        pass
    raise UsageError(f"{name} is {printable(repr(value[:100]))}; it must look like {form}, such as {example}")
