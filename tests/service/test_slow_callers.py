"""Slow and excessive senders on the real push worker: others are answered, and it still stops in time."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from infra.local.child import Child
from infra.local.ports import free_port
from tests.samples import encoded
from tests.service.test_push_shutdown import GRACE_S, end, push_worker

THREADS = 4
SLOW, LARGE = 4000, 4_000_000
"""Bytes a second of a slow sender, and bytes of a body that a thread has to wait for."""
ASKED = 2000
_GET = b"GET %s HTTP/1.1\r\nHost: " + b"w." * 4000 + b"\r\n%s\r\n"
"""The response to `GET /` repeats the host. This number of responses is 16 MB, more than the socket buffers hold."""
HUNDRED_MB = 100_000_000
_PIECE = b"10000\r\n" + bytes(65_536) + b"\r\n"


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[tuple[Child, int]]:
    port = free_port()
    with push_worker(
        {"GOOGLE_CLOUD_PROJECT": "p", "HTTP_ENDPOINT": "on", "THREADS": str(THREADS)}, tmp_path / "log", port
    ) as started:
        yield started, port


def connect(port: int, head: str) -> socket.socket:
    caller = socket.create_connection(("127.0.0.1", port), timeout=20)
    caller.sendall(f"{head}\r\nHost: worker\r\n".encode())
    return caller


def status(caller: socket.socket) -> int:
    return int(caller.recv(200).split()[1])


def predict(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("POST", "/predict", encoded())
        return connection.getresponse().status
    finally:
        connection.close()


class Sender(threading.Thread):
    """Sends a body slowly until it is answered."""

    def __init__(self, port: int, head: bytes, body: bytes, rate: int = SLOW) -> None:
        super().__init__(daemon=True)
        self.caller = connect(port, "POST /predict HTTP/1.1")
        self.caller.settimeout(60)
        self.caller.sendall(head + b"\r\n\r\n")
        self._pieces = [body[start : start + rate // 5] for start in range(0, len(body), rate // 5)]
        self.status, self.took_s = 0, 0.0

    def run(self) -> None:
        began = time.monotonic()
        try:
            for number, piece in enumerate(self._pieces, 1):
                self.caller.sendall(piece)
                time.sleep(max(0.0, began + 0.2 * number - time.monotonic()))
        except (BrokenPipeError, ConnectionResetError):
            pass  # answered while it was sending
        self.status = status(self.caller)
        self.took_s = time.monotonic() - began


@contextmanager
def sending(*senders: Sender) -> Iterator[None]:
    for sender in senders:
        sender.start()
    try:
        yield
    finally:
        for sender in senders:
            sender.join(60)
            sender.caller.close()


def health_s(port: int) -> float:
    """The duration of GET /health, in seconds."""
    began = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", "/health")
        assert json.loads(connection.getresponse().read())["status"] == "ok"
    finally:
        connection.close()
    return time.monotonic() - began


def deaf(port: int, path: str = "/") -> socket.socket:
    """Asks for more than fits into any buffer, and reads nothing."""
    caller = socket.socket()
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    caller.settimeout(5)
    caller.connect(("127.0.0.1", port))
    with suppress(TimeoutError, BrokenPipeError, ConnectionResetError):  # no more is read, or it is closed
        caller.sendall(_GET % (path.encode(), b"") * ASKED)
    return caller


@contextmanager
def flooded(port: int, count: int) -> Iterator[None]:
    """Open this number of connections like `deaf`, until the block ends."""
    with ThreadPoolExecutor(count) as pool, ExitStack() as callers:
        asking = [pool.submit(deaf, port) for _ in range(count)]
        yield
        for each in asking:
            callers.enter_context(each.result())


def answers(caller: socket.socket) -> int:
    """The number of responses until the connection ends."""
    said = b""
    with suppress(ConnectionResetError):
        while piece := caller.recv(1_000_000):
            said += piece
    return said.count(b"HTTP/1.1 200")


def chunk(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(body), body)


@pytest.mark.slow
@pytest.mark.timing
def test_senders_of_4_kb_a_second_are_cut_off_after_30_s(worker: tuple[Child, int]) -> None:
    """Slow senders are cut off although only large bodies wait for them; a large Content-Length gives no more time."""
    _, port = worker
    with deaf(port) as caller:
        length = b"Content-Length: %d"
        slow = [Sender(port, length % LARGE, bytes(LARGE)) for _ in range(THREADS - 1)]
        slow.append(Sender(port, b"Transfer-Encoding: chunked", chunk(bytes(800)) * 1000))
        small = [Sender(port, length % 130_000, bytes(130_000)) for _ in range(2 * THREADS)]
        image = encoded("PNG", (60, 60), "RGB")
        image += bytes(80_000 - len(image))  # 20 s; what follows the image is not looked at
        fair = Sender(port, length % len(image), image)
        with sending(*slow, *small, fair):
            began = time.monotonic()
            for _ in range(20):
                assert health_s(port) < 1 and predict(port) == 200
            assert time.monotonic() - began < 20, "nobody was waited for"
            large = Sender(port, length % LARGE, (encoded() + bytes(LARGE))[:LARGE], rate=50 * LARGE)
            with sending(large):
                pass
            assert health_s(port) < 1
        time.sleep(max(0.0, began + 36 - time.monotonic()))
        assert answers(caller) < ASKED, "the rest is not kept for a sender that does not read"
    assert large.status == 200 and large.took_s < 40, "it waits for its turn"
    assert fair.status == 200 and fair.took_s > 15
    for sender in (*slow, *small):
        assert sender.status == 400 and 25 < sender.took_s < 45, (sender.status, sender.took_s)


@pytest.mark.slow
def test_memory_that_others_wait_for_is_not_held_by_slow_senders(tmp_path: Path) -> None:
    """Three slow senders reserve 9 of 10 MB each. They are cut off only when another request waits for memory."""
    port = free_port()
    env = {"GOOGLE_CLOUD_PROJECT": "p", "HTTP_ENDPOINT": "on", "THREADS": "8", "DECODE_BYTES": "50000000"}
    with push_worker(env, tmp_path / "log", port):
        alone = Sender(port, b"Content-Length: 4000000", encoded() + bytes(4_000_000 - len(encoded())), rate=400_000)
        with sending(alone):
            pass
        assert alone.status == 200 and alone.took_s > 8
        slow = [Sender(port, b"Content-Length: 9000000", bytes(8_000_000), rate=20_000) for _ in range(3)]
        for sender in slow:
            sender.caller.sendall(bytes(1_000_000))
        good = Sender(port, b"Content-Length: 2000000", encoded() + bytes(2_000_000 - len(encoded())), rate=50_000_000)
        with sending(*slow):
            time.sleep(1)
            with sending(good):
                pass
        assert good.status == 200 and good.took_s < 20
        assert {sender.status for sender in slow} == {400}


@pytest.mark.slow
@pytest.mark.timing
def test_hundreds_of_silent_connections_and_slow_heads_hold_nothing(worker: tuple[Child, int]) -> None:
    _, port = worker
    with ExitStack() as callers:
        silent = [callers.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20)) for _ in range(300)]
        for number, caller in enumerate(silent):
            caller.sendall([b"", b"POST / HTTP/1.1\r\nHost", b"GET /health HTTP/1.1\r\nHost: w\r\n"][number % 3])
        began = time.monotonic()
        assert health_s(port) < 1
        assert predict(port) == 200 and time.monotonic() - began < 5
        until = began + 9
        while time.monotonic() < until:
            for caller in silent[1::3]:
                caller.sendall(b"a")  # each byte is new, and earns no time
            time.sleep(0.5)
        assert status(silent[1]) == status(silent[2]) == 408
        assert silent[0].recv(1) == b""
        assert time.monotonic() - began < 20


@pytest.mark.timing
def test_connections_over_the_limit_are_closed(worker: tuple[Child, int]) -> None:
    """The oldest give way, and no more large bodies are waited for than fit; others are answered as ever."""
    _, port = worker
    with ExitStack() as callers:
        held = [callers.enter_context(connect(port, "POST /predict HTTP/1.1")) for _ in range(900)]
        for caller in held:
            try:
                caller.sendall(b"Content-Length: 3000000\r\n\r\n")
            except (BrokenPipeError, ConnectionResetError):
                continue
        for _ in range(10):
            assert health_s(port) < 5 and predict(port) == 200
    assert predict(port) == 200


@pytest.mark.slow
@pytest.mark.timing
def test_health_checks_whose_answers_are_not_read_hold_nothing(worker: tuple[Child, int]) -> None:
    _, port = worker
    with deaf(port, "/health"), deaf(port, "/health"):
        until = time.monotonic() + 4
        while time.monotonic() < until:
            assert health_s(port) < 1
            time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.timing
def test_responses_that_are_not_read_hold_no_thread(worker: tuple[Child, int]) -> None:
    child, port = worker
    with flooded(port, 2 * THREADS):
        until = time.monotonic() + 10
        while time.monotonic() < until:
            began = time.monotonic()
            assert predict(port) == 200 and time.monotonic() - began < 3
            assert health_s(port) < 1
            time.sleep(0.2)
        assert end(child) < GRACE_S, "it stops although nobody reads"


def test_a_slow_reader_gets_every_response(worker: tuple[Child, int]) -> None:
    """More than fits into the buffers between the two; other requests are answered meanwhile."""
    _, port = worker
    with socket.socket() as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        caller.settimeout(30)
        caller.connect(("127.0.0.1", port))
        requests = _GET % (b"/", b"") * ASKED + _GET % (b"/", b"Connection: close\r\n")
        asked = threading.Thread(target=caller.sendall, args=(requests,))
        asked.start()
        time.sleep(4)
        assert predict(port) == 200
        assert answers(caller) == ASKED + 1
        asked.join()


def test_a_stopping_worker_waits_for_no_slow_sender(worker: tuple[Child, int]) -> None:
    child, port = worker
    senders = [Sender(port, b"Content-Length: %d" % size, bytes(size)) for size in [LARGE] * THREADS + [100_000] * 3]
    with sending(*senders), connect(port, "POST /"), socket.create_connection(("127.0.0.1", port)):
        time.sleep(1)
        end(child)
    assert {sender.status for sender in senders} == {400}


@pytest.mark.parametrize("path", ["/nope", "/favicon.ico", "/health", "/", "/predict"])
def test_a_refused_request_is_not_read_to_its_end(worker: tuple[Child, int], path: str) -> None:
    _, port = worker
    with ExitStack() as callers:
        for _ in range(2 * THREADS):
            caller = callers.enter_context(connect(port, f"PUT {path} HTTP/1.1"))
            caller.sendall(b"Content-Length: 1000000000000\r\n\r\n" + bytes(100_000))
            assert status(caller) in (404, 405)
        assert health_s(port) < 4, "nobody waits for the rest of a body"


@pytest.mark.parametrize("path", ["/predict", "/"])
def test_a_body_of_100_mb_is_refused_early(worker: tuple[Child, int], path: str) -> None:
    _, port = worker
    with connect(port, f"POST {path} HTTP/1.1") as caller:
        caller.sendall(f"Content-Length: {HUNDRED_MB}\r\n\r\n".encode() + bytes(65_536))
        assert status(caller) == 413
    with connect(port, f"POST {path} HTTP/1.1") as caller:
        caller.sendall(b"Transfer-Encoding: chunked\r\n\r\n")
        sent = 0
        try:
            while sent < HUNDRED_MB:
                caller.sendall(_PIECE)
                sent += len(_PIECE)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused while it was sending, as it should be
        assert sent < 40_000_000
        assert status(caller) == 413
    assert predict(port) == 200


def test_slow_senders_are_cut_off_and_others_are_answered(worker: tuple[Child, int]) -> None:
    child, port = worker
    with ExitStack() as callers:
        slow = [callers.enter_context(connect(port, "POST /predict HTTP/1.1")) for _ in range(THREADS)]
        for caller in slow:
            caller.sendall(b"Content-Length: 1000\r\n\r\nab")
        began = time.monotonic()
        assert predict(port) == 200
        assert time.monotonic() - began < 15, "five seconds, and time to spare"
        assert status(slow[0]) == 400
        for _ in range(THREADS):
            caller = callers.enter_context(connect(port, "POST / HTTP/1.1"))
            caller.sendall(b"Content-Length: 1000\r\n\r\nab")
        assert end(child) < GRACE_S, "it stops although slow senders are connected"
