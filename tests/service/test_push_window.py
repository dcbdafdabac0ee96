"""The pusher: its time limit, replies that it cannot read, and its memory of open messages."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest

from infra.local.pubsub.delivery import Backlog
from infra.local.pubsub.policy import Policy
from infra.local.pubsub.push import Pusher
from infra.local.pubsub.stored_message import StoredMessage
from infra.local.pubsub.token import Tokens
from infra.local.pubsub.wire import PubsubMessage, PushConfig
from tests.fault.event_loop import cancel_others

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
KEEPS_OPEN = (OK, CHUNKED)


async def _pushed(replies: list[bytes | None], wanted: int, ack_deadline_s: float = 5.0) -> list[float]:
    """Arrival times of the first `wanted` requests. Replies are sent in turn (None: none); the last one repeats."""
    times: list[float] = []
    enough = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readline():
                length = 0
                while (line := await reader.readline()).strip():
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                assert head == b"POST / HTTP/1.1\r\n"
                await reader.readexactly(length)
                times.append(asyncio.get_running_loop().time())
                reply = replies[min(len(times), len(replies)) - 1]
                if len(times) == wanted:
                    enough.set()
                if reply is not None:
                    writer.write(reply)
                    if reply not in KEEPS_OPEN:
                        return
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    backlog = Backlog(Policy(ack_deadline_s, 0.01, 0.01), lambda held: False, itertools.count(1))
    pusher = Pusher("projects/p/subscriptions/s", PushConfig(push_endpoint=endpoint), backlog, Tokens())
    backlog.offer(StoredMessage(1, PubsubMessage(data=b"x", message_id="1").SerializeToString(), time.time_ns()))
    try:
        await asyncio.wait_for(enough.wait(), 5)
        await asyncio.sleep(0.1)  # one too many would come now
    finally:
        pusher.close()
        backlog.close()
        server.close()
        await cancel_others()
    return times


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 503 No\r\nContent-Length: 5\r\n\r\nno",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\ncut off",
        b"HTTP/1.1 500 No\r\n\r\n",
    ],
    ids=["closed", "garbage", "503", "cut off", "no length"],
)
def test_a_broken_reply_is_a_nack(broken: bytes) -> None:
    assert len(asyncio.run(_pushed([broken, OK], 2))) == 2


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n",
        CHUNKED,
    ],
    ids=["length", "204", "102", "1.0", "chunked"],
)
def test_any_reply_with_a_success_status_is_an_ack(answer: bytes) -> None:
    assert len(asyncio.run(_pushed([answer], 1))) == 1


@pytest.mark.timing
def test_a_late_reply_is_a_nack() -> None:
    first, second = asyncio.run(_pushed([None, OK], 2, ack_deadline_s=0.3))
    assert 0.25 < second - first < 1.0


def test_backoff_doubles_up_to_the_maximum() -> None:
    policy = Policy(10, 1.0, 5.0)
    assert [policy.delay_s(attempt) for attempt in (1, 2, 3, 4, 100)] == [1, 2, 4, 5, 5]
    assert Policy(10).delay_s(3) == 0


def test_acked_messages_leave_no_deadlines_behind() -> None:
    class StubConsumer:
        pushes = False

        def wake(self) -> None: ...
        def settled(self, size: int) -> None: ...

    async def run() -> int:
        backlog = Backlog(Policy(600), lambda held: False, itertools.count(1))
        for _ in range(5000):
            backlog.offer(StoredMessage(1, b"", time.time_ns()))
            (lease,) = backlog.take(StubConsumer(), 1)
            backlog.ack([lease.ack_id])
        left = len(backlog._due)
        backlog.close()
        return left

    assert asyncio.run(run()) < 2000


def test_a_response_stays_under_its_limit() -> None:
    class StubConsumer:
        pushes = False

        def wake(self) -> None: ...
        def settled(self, size: int) -> None: ...

    async def run() -> list[list[int]]:
        backlog = Backlog(Policy(600), lambda held: False, itertools.count(1))
        for size in (3_000_000, 400_000, 3_000_000, 9_000_000, 100, 200):
            backlog.offer(StoredMessage(1, bytes(size - 64), time.time_ns()))
        taken = []
        while leases := backlog.take(StubConsumer(), 10):
            taken.append([lease.held.message.size for lease in leases])
        backlog.close()
        return taken

    assert asyncio.run(run()) == [[3_000_000, 400_000], [3_000_000], [9_000_000], [100, 200]]
