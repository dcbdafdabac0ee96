"""Refuses what a web page of another site sends to the twin, also under a name of its own (DNS rebinding)."""

from __future__ import annotations

import functools
import ipaddress
from urllib.parse import urlsplit


@functools.lru_cache(maxsize=256)
def refusal(host: str | None, origin: str | None, *, any_host: bool = False) -> str:
    """Why a request with these headers is refused; "" where it is not.

    Host must be a loopback name or address, except with `any_host`. Origin, which only browsers send, must be one in
    every case, or the address in Host.
    """
    name = _name(f"//{host}") if host else ""
    if host and not any_host and not _is_loopback(name):
        return (
            f"Host must be localhost, a name below it or a loopback address, not {host!r}; --host 0.0.0.0 allows others"
        )
    if origin is None or _is_loopback(page := _name(origin)) or (page == name and _is_address(page)):
        return ""
    return f"Origin must be a page of this machine, such as http://localhost:3000, not {origin!r}"


def _name(address: str) -> str:
    try:
        return (urlsplit(address).hostname or "").removesuffix(".")
    except ValueError:
        return ""


def _is_loopback(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    return _is_address(name) and ipaddress.ip_address(name).is_loopback


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
