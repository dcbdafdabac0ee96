"""Addresses and ports of this machine: free ports, whether a server listens, and who can reach an address."""

from __future__ import annotations

import ipaddress
import socket

LOOPBACK = "127.0.0.1"


def free_port(host: str = LOOPBACK) -> int:
    """A port of an address that is free now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def listens(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server accepts connections on a port."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((host, port)) == 0


def own_address(host: str) -> str:
    """The IPv4 address of a name or address of this machine. Raises ValueError when it belongs to another machine."""
    try:
        address = socket.gethostbyname(host or "::")  # an empty name would mean all addresses
        free_port(address)
    except (OSError, UnicodeError) as exc:
        raise ValueError(f"{host!r} is not an IPv4 address or name of this machine; 0.0.0.0 means all of them") from exc
    return address


def reachable(host: str) -> str:
    """The address under which programs on this machine reach a server that listens on `host`."""
    return LOOPBACK if host == "0.0.0.0" else host  # nosec B104  # compared, not listened on


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    return ipaddress.ip_address(host).is_loopback
