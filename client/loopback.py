"""Keeps connections to this machine away from proxies, for Google's clients, gRPC and HTTP libraries alike."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping

_DIRECT = ("127.0.0.1", "localhost", "::1")
"""Names and addresses that never go through a proxy."""

_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy")


def without_proxy(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that exclude loopback addresses from proxies, in addition to what `environ` excludes.

    gRPC reads `no_grpc_proxy`, if it is set, and not `no_proxy`. It reads the names in lower case only.
    """
    names = ["no_proxy", *(["no_grpc_proxy"] if "no_grpc_proxy" in environ else [])]
    return {name: _with_loopback(environ.get(name) or environ.get(name.upper(), "")) for name in names}


def has_proxy(environ: Mapping[str, str]) -> bool:
    """Whether `environ` names a proxy."""
    return any(environ.get(name) or environ.get(name.upper()) for name in _PROXIES)


def keep_from_proxies(environ: MutableMapping[str, str]) -> None:
    """Exclude loopback addresses from the proxies that `environ` names, if it names any."""
    if has_proxy(environ):
        environ.update(without_proxy(environ))


def _with_loopback(excluded: str) -> str:
    parts = [part.strip() for part in excluded.split(",") if part.strip()]
    if "*" in parts:  # everything is excluded; some libraries understand it only where it is alone
        return "*"
    return ",".join([*parts, *(name for name in _DIRECT if name not in parts)])
