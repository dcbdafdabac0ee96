"""Replies are JSON or our own plain text, never a page of a library."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from infra.local.child import Child
from infra.local.ports import free_port
from tests.samples import encoded
from tests.service.test_malformed_requests import sent
from tests.service.test_push_shutdown import push_worker

HOST = b"Host: w\r\n"
FORM = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + encoded() + b"\r\n--x--\r\n"
CHUNKED = b"POST /nope HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"


def get(target: bytes, headers: bytes = HOST, method: bytes = b"GET") -> bytes:
    return method + b" " + target + b" HTTP/1.1\r\n" + headers + b"Connection: close\r\n\r\n"


def post(target: bytes, headers: bytes, body: bytes) -> bytes:
    return get(target, HOST + headers + b"Content-Length: %d\r\n" % len(body), b"POST") + body


def form(content_type: bytes) -> bytes:
    return post(b"/predict", b"Content-Type: multipart/form-data; " + content_type + b"\r\n", FORM)


REQUESTS = {
    "SCRIPT_NAME": (get(b"/health", HOST + b"SCRIPT_NAME: /elsewhere\r\n"), 200),
    "PATH_INFO": (get(b"/health", HOST + b"PATH_INFO: /nope\r\n"), 200),
    "headers of proxies": (
        get(
            b"/",
            HOST
            + b"X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off\r\nX-Forwarded-Host: evil\r\nForwarded: host=evil\r\n",
        ),
        200,
    ),
    "headers of the environment": (
        get(b"/", HOST + b"REMOTE_ADDR: evil\r\nHTTP_HOST: evil\r\nwsgi.url_scheme: evil\r\n"),
        200,
    ),
    "a host of 300 characters": (get(b"/", b"Host: " + b"w" * 300 + b"\r\n"), 200),
    "a host of dots": (get(b"/", b"Host: ..w..\r\n"), 200),
    "a host that is no name": (get(b"/", b"Host: a b/<script>?\r\n"), 200),
    "a host of Latin-1": (get(b"/", b"Host: \xe9\xff\r\n"), 200),
    "a host of broken Punycode": (get(b"/", b"Host: xn--a-ecp.ru\r\n"), 200),
    "no host": (get(b"/", b""), 200),
    "an upgrade to WebSocket": (
        b"GET /health HTTP/1.1\r\nHost: w\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        200,
    ),
    "an upgrade to HTTP/2": (
        b"GET /health HTTP/1.1\r\nHost: w\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
        200,
    ),
    "a double slash": (get(b"/nope//nope"), 404),
    "the icon of a browser": (get(b"/favicon.ico"), 404),
    "the file of crawlers": (get(b"/robots.txt"), 404),
    "dots in the path": (get(b"/../health"), 404),
    "an absolute target without a path": (get(b"http://w"), 200),
    "an asterisk": (get(b"*", method=b"OPTIONS"), 404),
    "CONNECT": (get(b"w:80", method=b"CONNECT"), 404),
    "TRACE": (get(b"/health", HOST + b"A: secret\r\n", b"TRACE"), 405),
    "OPTIONS": (get(b"/health", method=b"OPTIONS"), 405),
    "HEAD": (get(b"/favicon.ico", method=b"HEAD"), 404),
    "a path that is not UTF-8": (get(b"/%ff%00"), 404),
    "a path of 2,700 bytes that are not UTF-8": (get(b"/" + b"%ff" * 2700), 404),
    "a path with a broken escape": (get(b"/%zz%"), 404),
    "a path with a line break": (get(b"/%0d%0aA:b"), 404),
    "a path with a tag": (get(b"/%3Cscript%3E"), 404),
    "a query that is not UTF-8": (get(b"/health?%ff=%00&=&&"), 200),
    "4,000 arguments": (post(b"/predict?" + b"a&" * 4000, b"", encoded()), 200),
    "arguments that are not UTF-8": (post(b"/predict?top_k=%ff&filename=%00%ff&explain=%ff", b"", encoded()), 400),
    "a charset that does not exist": (post(b"/predict", b"Content-Type: image/png; charset=nope\r\n", encoded()), 200),
    "a Content-Type of junk": (post(b"/predict", b'Content-Type: ;;;=\xff"\\\r\n', encoded()), 200),
    "a boundary of Latin-1": (form(b"boundary=\xff"), 400),
    "an encoded boundary": (form(b"boundary*=utf-8''%ff%00"), 400),
    "a boundary in pieces": (form(b"boundary*0=x; boundary*99999999999999999999=y"), 400),
    "a boundary with half a quote": (form(b'boundary="x\\'), 400),
    "a boundary of 7,000 bytes": (form(b"boundary=" + b"b" * 7000), 400),
    "an event of a charset that does not exist": (post(b"/", b"Content-Type: a/b; charset=nope\r\n", b"{}"), 400),
    "an Accept of junk": (post(b"/predict", b'Accept: text/plain;q=nan, */*;q=1e999, \xff;q="\\\r\n', encoded()), 200),
    "an id of Latin-1": (post(b"/predict", b"X-Request-Id: \xff\r\nTraceparent: \xff\r\n", encoded()), 200),
    "an event with a type of tags": (post(b"/", b"ce-id: 1\r\nce-type: <script>\r\nce-specversion: 9\r\n", b"{}"), 400),
    "a name of tags": (post(b"/predict?top_k=<script>", b"Accept: text/plain\r\n", encoded()), 400),
    "cookies and ranges of junk": (
        get(b"/health", HOST + b'Cookie: \xff=;;="\\\r\nRange: bytes=9-1\r\nIf-None-Match: "\\\r\n'),
        200,
    ),
    "malformed chunks for a path that does not exist": (CHUNKED + b"zz\r\n\r\n", 404),
    "a malformed trailer for a path that does not exist": (CHUNKED + b"0\r\nHost: w\r\n\r\n", 404),
}


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Child, int]]:
    port = free_port()
    log = tmp_path_factory.mktemp("worker") / "log"
    with push_worker({"GOOGLE_CLOUD_PROJECT": "p", "HTTP_ENDPOINT": "on"}, log, port) as started:
        yield started, port


@pytest.mark.parametrize("name", REQUESTS)
def test_replies_are_json_or_plain_text_of_ours(worker: tuple[Child, int], name: str) -> None:
    child, port = worker
    request, status = REQUESTS[name]
    head, _, text = sent(port, request).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), (head, text)
    assert b"HTTP/1." not in text, "it is one response"
    kind = re.findall(rb"(?i)^content-type: (.*)\r?$", head, re.M)
    assert [each.strip() for each in kind] in ([b"application/json"], [b"text/plain; charset=utf-8"])
    assert not re.search(rb"(?i)<html|<!doctype|traceback|secret|evil", head + text)
    assert "Traceback" not in child.log.read_text()
