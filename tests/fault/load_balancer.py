"""A load balancer for the push workers, like that of Cloud Run: a request waits until a worker is available."""

from __future__ import annotations

import asyncio
import itertools


class LoadBalancer:
    """Passes each connection to a living worker, in turn; a worker that dies cuts its connections."""

    def __init__(self) -> None:
        self.url = ""
        self._ports: list[int] = []
        self._turn = itertools.count()
        self._changed = asyncio.Condition()

    async def start(self) -> None:
        """Listen on a free port of loopback."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Take no more connections. Those that are accepted begin first: asyncio would leave the others open."""
        loop = asyncio.get_running_loop()
        for listening in self._server.sockets:
            loop.remove_reader(listening.fileno())
        await asyncio.sleep(0.1)
        self._server.close()

    async def add(self, port: int) -> None:
        """A worker is ready."""
        async with self._changed:
            self._ports.append(port)
            self._changed.notify_all()

    async def remove(self, port: int) -> None:
        """A worker is dead."""
        async with self._changed:
            self._ports.remove(port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = [writer]
        try:
            there, back = await self._connect()
            writers.append(back)
            await asyncio.gather(_pipe(reader, back), _pipe(there, writer))
        except (OSError, asyncio.CancelledError):  # the worker died this moment, or the run ends while this waits
            pass
        finally:
            for each in writers:
                each.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with self._changed:
            await self._changed.wait_for(lambda: self._ports)
            port = self._ports[next(self._turn) % len(self._ports)]
        return await asyncio.open_connection("127.0.0.1", port)


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()
    except ConnectionError:
        pass  # closing informs the other end
    finally:
        writer.close()
