"""A TCP proxy whose answers come later: a broker on this machine answers sooner than one in the cloud."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import Self

from tests.bench.parts import GIVE_UP_S

_CHUNK_BYTES = 65_536
_POLL_S = 0.01


class DelayingProxy:
    """A proxy on a port of its own to `target` (address:port), from entering to leaving.

    `delay_s`: seconds by which what the target sends is delayed; it may change at any time.
    """

    def __init__(self, target: str) -> None:
        self.delay_s = 0.0
        address, _, port = target.rpartition(":")
        self._target = address, int(port)
        self._writers: list[asyncio.StreamWriter] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="delay", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        starting = asyncio.start_server(self._connected, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(starting, self._loop).result(GIVE_UP_S)
        self.host = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(GIVE_UP_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()  # which ends the tasks that read from it
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        self._writers += [writer, far_writer]
        try:
            await asyncio.gather(self._carry(reader, far_writer), self._carry(far_reader, writer, is_answer=True))
        except ConnectionError:
            pass  # one side has closed, and the other closes with it
        finally:
            far_writer.close()
            writer.close()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool = False
    ) -> None:
        waiting: deque[bytes] = deque()
        while data := await reader.read(_CHUNK_BYTES):
            waiting.append(data)
            # The queue keeps the order, also of data that is due in one step of the loop.
            self._loop.call_later(self.delay_s if is_answer else 0.0, lambda: writer.write(waiting.popleft()))
        while waiting:
            await asyncio.sleep(_POLL_S)
        writer.write_eof()
