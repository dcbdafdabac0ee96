"""Malformed HTTP requests: each is refused with our own message, its connection closed, counted and logged once."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from infra.local.child import Child
from infra.local.ports import free_port
from tests.log_lines import log_lines
from tests.samples import encoded
from tests.service.test_push_shutdown import push_worker
from tests.waiting import until

POST = b"POST / HTTP/1.1\r\nHost: w\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

HEADS = {
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /health\r\n", 400),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "HTTP/3.0": (b"GET /health HTTP/3.0\r\nHost: w\r\n\r\n", 400),
    "HTTP/1.2": (b"GET /health HTTP/1.2\r\nHost: w\r\n\r\n", 400),
    "HTTP/1.10": (b"GET /health HTTP/1.10\r\nHost: w\r\n\r\n", 400),
    "two empty lines first": (b"\r\n\r\nGET /health HTTP/1.1\r\nHost: w\r\n\r\n", 400),
    "no target": (b"GET  HTTP/1.1\r\nHost: w\r\n\r\n", 400),
    "a target of NUL": (b"GET /\x00 HTTP/1.1\r\nHost: w\r\n\r\n", 400),
    "a target of Latin-1": (b"GET /\xe9 HTTP/1.1\r\nHost: w\r\n\r\n", 400),
    "a target of an authority": (b"GET worker:80 HTTP/1.1\r\nHost: w\r\n\r\n", 400),
    "an asterisk": (b"GET * HTTP/1.1\r\nHost: w\r\n\r\n", 400),
    "a line of the PROXY protocol": (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\nGET /health HTTP/1.1\r\n\r\n", 400),
    "a head of the PROXY protocol": (
        b"\r\n\r\n\0\r\nQUIT\n!\x11\0\x0c" + bytes(12) + b"GET /health HTTP/1.1\r\n\r\n",
        400,
    ),
    "a broken absolute target": (b"GET http://[::1/health HTTP/1.1\r\nHost: w\r\n\r\n", 400),
    "a method in lower case": (b"get /health HTTP/1.1\r\nHost: w\r\n\r\n", 400),
    "a method that is no token": (b"G@T /health HTTP/1.1\r\nHost: w\r\n\r\n", 400),
    "a method of 100 characters": (b"G" * 100 + b" /health HTTP/1.1\r\nHost: w\r\n\r\n", 400),
    "bare line feeds": (b"GET /health HTTP/1.1\nHost: w\n\n", 400),
    "one bare line feed": (b"GET /health HTTP/1.1\r\nHost: w\nA: b\r\n\r\n", 400),
    "a folded header": (b"GET /health HTTP/1.1\r\nHost: w\r\nA: b\r\n c\r\n\r\n", 400),
    "NUL in a header": (b"GET /health HTTP/1.1\r\nHost: w\r\nA: \x00\r\n\r\n", 400),
    "a carriage return in a header": (b"GET /health HTTP/1.1\r\nHost: w\r\nA: b\rc\r\n\r\n", 400),
    "a header without a colon": (b"GET /health HTTP/1.1\r\nHost: w\r\nsecret\r\n\r\n", 400),
    "a space before the colon": (b"GET /health HTTP/1.1\r\nHost : w\r\n\r\n", 400),
    "two hosts": (b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "a negative length": (POST + b"Content-Length: -1\r\n\r\n", 400),
    "a length with a sign": (POST + b"Content-Length: +5\r\n\r\nabcde", 400),
    "a length in hexadecimal": (POST + b"Content-Length: 0x5\r\n\r\nabcde", 400),
    "a length with an underscore": (POST + b"Content-Length: 1_0\r\n\r\nabcde", 400),
    "a length of superscripts": (POST + b"Content-Length: \xb2\r\n\r\nab", 400),
    "an empty length": (POST + b"Content-Length: \r\n\r\n", 400),
    "a length of 5,000 digits": (POST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
    "two lengths": (POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", 400),
    "two lengths that are equal": (POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde", 400),
    "a list of lengths": (POST + b"Content-Length: 5, 5\r\n\r\nabcde", 400),
    "a length and chunks": (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "chunks and a length": (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
    "chunks of HTTP/1.0": (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "chunks twice": (POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    "identity": (POST + b"Transfer-Encoding: identity\r\n\r\n", 400),
    "gzip in chunks": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "an unknown coding": (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    "an unknown expectation": (POST + b"Expect: 200-maybe\r\nContent-Length: 0\r\n\r\n", 417),
    "a line of 9 kB": (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: w\r\n\r\n", 414),
    "a line without an end": (b"GET /" + b"a" * 300_000, 414),
    "a header of 9 kB": (b"GET /health HTTP/1.1\r\nHost: w\r\nA: " + b"a" * 9000 + b"\r\n\r\n", 431),
    "headers of 33 kB": (
        b"GET /health HTTP/1.1\r\n" + b"".join(b"A: " + b"a" * 8000 + b"\r\n" for _ in range(5)) + b"\r\n",
        431,
    ),
    "headers without an end": (b"GET /health HTTP/1.1\r\n" + b"A: b\r\n" * 50_000, 431),
    "101 headers": (b"GET /health HTTP/1.1\r\n" + b"A: b\r\n" * 101 + b"\r\n", 431),
    "half a head": (b"GET /health HTTP/1.1\r\nHos", 400),
}
BODIES = {
    "a chunk size that is no number": CHUNKED + b"xyz\r\nabc\r\n0\r\n\r\n",
    "a negative chunk size": CHUNKED + b"-3\r\nabc\r\n0\r\n\r\n",
    "a chunk size with a sign": CHUNKED + b"+3\r\nabc\r\n0\r\n\r\n",
    "a chunk size with 0x": CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n",
    "a chunk size with a space before it": CHUNKED + b" 3\r\nabc\r\n0\r\n\r\n",
    "an empty chunk size": CHUNKED + b"\r\nabc\r\n0\r\n\r\n",
    "a chunk that is longer than it says": CHUNKED + b"2\r\nabc\r\n0\r\n\r\n",
    "a chunk without an end": CHUNKED + b"3\r\nabc",
    "a chunk that is cut off": CHUNKED + b"ffffffff\r\nabc",
    "a chunk of 10^300 bytes": CHUNKED + b"f" * 250 + b"\r\nabc",
    "chunks with line feeds alone": CHUNKED + b"3\nabc\n0\n\n",
    "no last chunk": CHUNKED + b"3\r\nabc\r\n",
    "no end of trailers": CHUNKED + b"3\r\nabc\r\n0\r\nA: b\r\n",
    "a trailer that frames": CHUNKED + b"3\r\nabc\r\n0\r\nContent-Length: 5\r\n\r\n",
    "a trailer that is malformed": CHUNKED + b"3\r\nabc\r\n0\r\nsecret\r\n\r\n",
    "trailers of 2 MB": CHUNKED + b"3\r\nabc\r\n0\r\n" + b"A: b\r\n" * 350_000 + b"\r\n",
    "an extension of 1 MB": CHUNKED + b"3;" + b"a" * 1_000_000 + b"\r\nabc\r\n0\r\n\r\n",
    "an extension that is malformed": CHUNKED + b"3;a=\x00\r\nabc\r\n0\r\n\r\n",
    "a chunk size of 1 MB": CHUNKED + b"0" * 1_000_000 + b"3\r\nabc\r\n0\r\n\r\n",
    "a body that is cut off": POST + b"Content-Length: 1000\r\n\r\n{}",
    "no body": POST + b"Content-Length: 1000\r\n\r\n",
}


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Child, int]]:
    port = free_port()
    log = tmp_path_factory.mktemp("worker") / "log"
    with push_worker({"GOOGLE_CLOUD_PROJECT": "p", "HTTP_ENDPOINT": "on", "THREADS": "4"}, log, port) as started:
        yield started, port


def sent(port: int, request: bytes) -> bytes:
    """All that comes back until the worker closes; this end says that it sends no more, and keeps reading."""
    said = b""
    with socket.create_connection(("127.0.0.1", port), timeout=8) as caller:
        try:
            caller.sendall(request)
            caller.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError, OSError):
            pass  # refused while it was sending
        while piece := caller.recv(65_536):
            said += piece
    return said


def lines(worker: Child) -> list[dict[str, object]]:
    return log_lines(worker.log)


def ended(port: int) -> dict[str, int]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        counts: dict[str, int] = json.loads(connection.getresponse().read())["outcomes"]
        return counts
    finally:
        connection.close()


@pytest.mark.parametrize("body", [False, True], ids=["heads", "bodies"])
def test_malformed_requests_are_refused_counted_and_closed(worker: tuple[Child, int], body: bool) -> None:
    child, port = worker
    requests = {name: (request, 400) for name, request in BODIES.items()} if body else HEADS
    before, logged = ended(port)["malformed"], len(lines(child))
    with ThreadPoolExecutor(8) as senders:
        replies = dict(zip(requests, senders.map(lambda each: sent(port, each[0]), requests.values()), strict=True))
    for name, (_, status) in requests.items():
        head, _, text = replies[name].partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d " % status), (name, replies[name])
        assert b"<" not in text and b"secret" not in text and len(text.splitlines()) == 1, (name, text)
    assert until(lambda: ended(port)["malformed"] == before + len(requests))
    said = lines(child)[logged:]
    assert [line["outcome"] for line in said] == ["malformed"] * len(requests)
    assert not any("exception" in line or "secret" in json.dumps(line) for line in said)
    assert "Traceback" not in child.log.read_text()


@pytest.mark.parametrize("path", ["/predict", "/"])
def test_a_truncated_body_is_not_an_internal_error(worker: tuple[Child, int], path: str) -> None:
    child, port = worker
    reply = sent(port, b"POST %s HTTP/1.1\r\nHost: w\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" % path.encode())
    assert reply.startswith(b"HTTP/1.1 400 ") and b"chunks are malformed" in reply
    assert "Traceback" not in child.log.read_text()


def test_unusual_valid_requests_are_answered(worker: tuple[Child, int]) -> None:
    _, port = worker
    get = b"GET %s HTTP/1.1\r\nHost: w\r\n%sConnection: close\r\n\r\n"
    long = b"".join(b"A%d: " % number + b"a" * 7900 + b"\r\n" for number in range(4))
    assert sent(port, get % (b"/health", long)).startswith(b"HTTP/1.1 200 ")
    assert sent(port, get % (b"/health?" + b"a" * 8000, b"")).startswith(b"HTTP/1.1 200 ")
    assert sent(port, get % (b"http://worker/health", b"")).startswith(b"HTTP/1.1 200 ")
    assert sent(port, b"\r\n" + get % (b"/health", b"")).startswith(b"HTTP/1.1 200 ")
    assert sent(port, b"GET /health HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.0 200 ")
    assert sent(port, b"HEAD /health HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.0 200 ")
    two = b"GET / HTTP/1.1\r\nHost: w\r\n\r\n" + get % (b"/", b"")
    assert sent(port, two).count(b"HTTP/1.1 200 ") == 2, "one behind the other"
    image = encoded()
    post = b"POST /predict HTTP/1.1\r\nHost: w\r\nConnection: close\r\n"
    half = len(image) // 2
    chunks = b"%x;name=value\r\n%s\r\n%X\r\n%s\r\n0\r\nA: b\r\n\r\n" % (
        half,
        image[:half],
        len(image) - half,
        image[half:],
    )
    assert sent(port, post + b"Transfer-Encoding: Chunked\r\n\r\n" + chunks).startswith(b"HTTP/1.1 200 ")
    chunked = post.replace(b"Connection: close\r\n", b"Transfer-Encoding: chunked\r\n\r\n") + chunks
    replies = sent(port, chunked + get % (b"/health", b""))
    assert replies.count(b"HTTP/1.1 ") == 1 and b"\r\nConnection: close\r\n" in replies, "nothing follows chunks"
    with socket.create_connection(("127.0.0.1", port), timeout=8) as caller:
        caller.sendall(post + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(image))
        assert caller.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        caller.sendall(image)
        assert caller.recv(65_536).startswith(b"HTTP/1.1 200 ")
