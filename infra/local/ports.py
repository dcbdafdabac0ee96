"""Addresses and ports of this machine: free ports, whether a server listens, and who can reach an address."""

from __future__ import annotations

import fcntl
import functools
import ipaddress
import os
import secrets
import socket
import tempfile
from pathlib import Path

LOOPBACK = "127.0.0.1"

_RANGE = range(20_000, 32_000)
"""Below the ports that Linux (from 32768) and macOS (from 49152) give to outgoing connections and to port 0."""


def free_port(host: str = LOOPBACK) -> int:
    """Reserve a port that nobody has; until this process ends, no other call gives it, in this process or another."""
    first = secrets.randbelow(len(_RANGE))
    for port in (*_RANGE[first:], *_RANGE[:first]):
        if port not in _reserved and _reserve(port) and _can_bind(host, port):
            return int(port)
    raise OSError("no free port")


_reserved: set[int] = set()
"""Ports that this process has reserved: a record lock keeps out other processes only."""


def _reserve(port: int) -> bool:
    """Lock the byte of this port in a file that all processes of a user share; the lock ends with the process."""
    try:
        fcntl.lockf(_lock_file(os.getpid()), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    _reserved.add(port)
    return True


@functools.cache
def _lock_file(pid: int) -> int:
    """The file descriptor, which stays open: closing it would end the locks. A forked process opens its own."""
    path = Path(tempfile.gettempdir()) / f"image-prediction-pipeline-ports-{os.getuid()}"
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def _can_bind(host: str, port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def listens(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server accepts connections on a port."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((host, port)) == 0


def own_address(host: str) -> str:
    """The IPv4 address of a name or address of this machine. Raises ValueError when it belongs to another machine."""
    try:
        address = socket.gethostbyname(host or "::")  # silence would be every address
        with socket.socket() as probe:
            probe.bind((address, 0))
    except (OSError, UnicodeError) as exc:
        raise ValueError(f"{host!r} is not an IPv4 address or name of this machine; 0.0.0.0 means all of them") from exc
    return address


def reachable(host: str) -> str:
    """The address under which programs on this machine reach a server that listens on `host`."""
    return LOOPBACK if host == "0.0.0.0" else host  # nosec B104  # compared, not listened on


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    return ipaddress.ip_address(host).is_loopback
