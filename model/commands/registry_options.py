"""What the commands for a registry share: the option --registry, and the registry that is open while one runs."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager

from model.errors import RegistryError
from model.registry.registry import Registry
from model.text import reason

_VARIABLE = "REGISTRY"


def add_registry(command: argparse.ArgumentParser) -> None:
    """Declare --registry."""
    command.add_argument(
        "--registry",
        metavar="ADDRESS",
        default=os.environ.get(_VARIABLE, ""),
        help=f"the registry: a folder, or gs://bucket/prefix (default: the variable {_VARIABLE})",
    )


def same_registry(arguments: argparse.Namespace) -> str:
    """The option --registry for a command that is printed; "" where the variable has the same address."""
    given = arguments.registry
    return "" if given == os.environ.get(_VARIABLE, "") else f" --registry {shlex.quote(given)}"


@contextmanager
def opened(arguments: argparse.Namespace) -> Iterator[Registry]:
    """The registry of --registry. Raises RegistryError, also where the network or Google's service fails."""
    if not arguments.registry:
        raise RegistryError(f"no registry is named: give --registry a folder or gs://bucket/prefix, or set {_VARIABLE}")
    registry = Registry.at(arguments.registry)
    try:
        yield registry
    except Exception as exc:
        if (why := _why_unreachable(exc)) is None:
            raise
        raise RegistryError(f"{registry.address} cannot be reached, {why}; try again") from exc
    finally:
        registry.close()


def _why_unreachable(exc: Exception) -> str | None:
    """Why Google's client failed; None for another error. Its libraries are imported if it did."""
    if type(exc).__module__.partition(".")[0] not in ("google", "requests"):
        return None
    from google.api_core.exceptions import GoogleAPIError, RetryError
    from google.auth.exceptions import GoogleAuthError
    from requests.exceptions import ConnectionError, RequestException, Timeout

    cause = exc.cause if isinstance(exc, RetryError) and exc.cause else exc
    if isinstance(cause, ConnectionError | Timeout):
        return "no server answers"
    return reason(cause) if isinstance(cause, GoogleAPIError | GoogleAuthError | RequestException) else None
