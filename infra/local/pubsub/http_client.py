"""A minimal HTTP/1.1 client on asyncio for one endpoint: POST, the response's status, persistent connections."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import urlsplit

_Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Stale(ConnectionError):
    """An idle connection was closed by the server before it sent a byte of the response."""


class HttpClient:
    """Posts bodies to one http or https endpoint, any number at once."""

    def __init__(self, endpoint: str) -> None:
        url = urlsplit(endpoint)
        self._host = url.hostname or ""
        self._tls = url.scheme == "https"
        self._port = url.port or (443 if self._tls else 80)
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        self._head = (
            f"POST {path} HTTP/1.1\r\nHost: {url.netloc.rpartition('@')[2]}\r\n"
            "Accept: application/json\r\nUser-Agent: CloudPubSub-Google\r\nFrom: noreply@google.com\r\n"
        ).encode()
        self._idle: list[_Connection] = []
        self._closed = False

    async def post(self, body: bytes, headers: Mapping[str, str]) -> int:
        """Post a body with headers (which must be valid) and return the status.

        Raises OSError, asyncio.IncompleteReadError or ValueError when there is no valid response.
        """
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()
        request = b"%s%sContent-Length: %d\r\n\r\n%s" % (self._head, lines, len(body), body)
        while self._idle:
            connection = self._idle.pop()
            if connection[0].at_eof():
                connection[1].close()
                continue
            try:
                return await self._exchange(connection, request)
            except _Stale:
                continue
        connection = await asyncio.open_connection(self._host, self._port, ssl=self._tls or None)
        return await self._exchange(connection, request)

    def close(self) -> None:
        """Close idle connections now, and busy ones after their request."""
        self._closed = True
        while self._idle:
            self._idle.pop()[1].close()

    async def _exchange(self, connection: _Connection, request: bytes) -> int:
        reader, writer = connection
        reusable = False
        try:
            writer.write(request)
            with suppress(ConnectionError):  # a server that closed may have replied before, and reading raises as well
                await writer.drain()
            status, reusable = await _answer(reader)
            return status
        finally:
            if reusable and not self._closed:
                self._idle.append(connection)
            else:
                writer.close()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """Read one response to its end; returns the status and whether the connection can be used again."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError as exc:
        raise ValueError("the headers are too long") from exc
    except asyncio.IncompleteReadError as exc:
        if exc.partial:
            raise
        raise _Stale("closed before a response") from exc
    except ConnectionError as exc:
        raise _Stale("closed before a response") from exc
    line, *lines = head[:-4].split(b"\r\n")
    version, code, *_ = line.split(None, 2)
    status = int(code)
    headers: dict[bytes, bytes] = {}
    for line in lines:
        name, _, value = line.partition(b":")
        headers[name.strip().lower()] = value.strip().lower()
    reusable = version == b"HTTP/1.1" and headers.get(b"connection") != b"close" and status >= 200
    if status in (204, 304) or status < 200:
        pass
    elif headers.get(b"transfer-encoding") == b"chunked":
        while size := int((await reader.readline()).split(b";")[0], 16):
            await reader.readexactly(size + 2)
        while (await reader.readline()).strip():
            pass
    elif b"content-length" in headers:
        await reader.readexactly(int(headers[b"content-length"]))
    else:
        reusable = False
    return status, reusable
