"""A proxy between one worker and the broker. It forwards every call, and can kill the worker at one exact moment.

That moment is between publish and ack: the broker has answered a publish, and the worker has not received the reply.
A worker acks only after the reply, so one that is killed here has published and cannot have acked. The worker itself
is unmodified.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import grpc

_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),  # a broker that is back shall be found at once
    ("grpc.max_reconnect_backoff_ms", 500),
)


class BrokerProxy(grpc.GenericRpcHandler):  # type: ignore[misc]  # the package has no types
    """A server that is the broker to one worker. `published` is asked after each publish, before it is answered:

    True means that it has killed the worker, and nothing is answered.
    """

    def __init__(self, broker: str, published: Callable[[], bool]) -> None:
        self._broker, self._published = broker, published
        self.host = ""

    async def start(self) -> None:
        """Listen on a free port of loopback."""
        self._channel = grpc.aio.insecure_channel(self._broker, options=_OPTIONS)
        self._server = grpc.aio.server(options=_OPTIONS)
        self._server.add_generic_rpc_handlers((self,))
        self.host = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()

    async def stop(self) -> None:
        """Cut every call."""
        await self._server.stop(grace=None)
        await self._channel.close()

    def service(self, details: Any) -> Any:
        """The handler of any method: bytes in, bytes out."""
        if details.method.endswith("/StreamingPull"):
            return grpc.stream_stream_rpc_method_handler(partial(self._stream, details.method))
        return grpc.unary_unary_rpc_method_handler(partial(self._call, details.method))

    async def _call(self, method: str, request: bytes, context: Any) -> bytes:
        try:
            reply = await self._channel.unary_unary(method)(request, timeout=context.time_remaining())
        except grpc.aio.AioRpcError as exc:
            return bytes(await context.abort(exc.code(), exc.details()))
        if method.endswith("/Publish") and self._published():
            return bytes(await context.abort(grpc.StatusCode.UNAVAILABLE, "the worker is dead"))
        return bytes(reply)

    async def _stream(self, method: str, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        call = self._channel.stream_stream(method)(requests)
        try:
            async for response in call:
                yield response
        except grpc.aio.AioRpcError as exc:
            await context.abort(exc.code(), exc.details())
        finally:
            call.cancel()
