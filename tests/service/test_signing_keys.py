"""A signing-key server with huge, slow or invalid replies: pushes are nacked soon, and it is left alone for a while."""

from __future__ import annotations

import gzip
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import jwt
import pytest

from functions.gcp.signing_keys import MAX_BYTES, MAX_KEYS, TIMEOUT_S
from functions.observability.request_log import RequestLog
from infra.local.pubsub.token import JWKS_PATH, Tokens
from tests.service.test_who_may_ask import (  # noqa: F401
    AUDIENCE,
    EMAIL,
    App,
    app,
    ended,
    outcomes,
    push,
    responses,
    tokens,
)

Send = Callable[[Callable[[bytes], object]], object]
HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"


class Server:
    """Answers each connection with what `send` sends, and counts connections and bytes."""

    def __init__(self, send: Send) -> None:
        self.asked, self.sent, self._send = 0, 0, send
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}{JWKS_PATH}"
        self._callers: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self.listener.accept()
                self.asked += 1
                self._callers.append(caller)
                threading.Thread(target=self._answer, args=(caller,), daemon=True).start()

    def _answer(self, caller: socket.socket) -> None:
        def send(data: bytes) -> None:
            caller.sendall(data)
            self.sent += len(data)

        with suppress(OSError):  # the worker hangs up on some
            caller.recv(65_536)
            self._send(send)
            caller.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for caller in self._callers:
            caller.close()


@contextmanager
def serving(send: Send) -> Iterator[Server]:
    server = Server(send)
    try:
        yield server
    finally:
        server.close()


def slowly(data: bytes) -> Send:
    def send(out: Callable[[bytes], object]) -> None:
        out(data)
        for _ in range(1000):
            out(b" ")
            time.sleep(0.05)

    return send


def endless(out: Callable[[bytes], object]) -> None:
    out(HEAD + b'{"keys": [')
    for _ in range(300):
        out(b" " * 1_000_000)


def document(value: object) -> Send:
    return lambda out: out(HEAD + json.dumps(value).encode())


def rsa(**changes: Any) -> dict[str, Any]:
    return {"kty": "RSA", "kid": "k", "use": "sig", "n": "u" * 342, "e": "AQAB", **changes}


SERVERS: dict[str, Send] = {
    "300 MB": endless,
    "a body sent slowly": slowly(HEAD + b"{"),
    "headers sent slowly": slowly(b"HTTP/1.0 200 OK\r\nA: "),
    "silence": lambda out: time.sleep(3 * TIMEOUT_S),
    "nothing": lambda out: None,
    "no HTTP": lambda out: out(b"keys\r\n\r\n"),
    "gzip": lambda out: out(HEAD[:-2] + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(bytes(50_000_000))),
    "no JSON": lambda out: out(HEAD + b"<html>"),
    "JSON that is nested deep": lambda out: out(HEAD + b"[" * 500_000),
    "a number of many digits": lambda out: out(HEAD + b'{"keys": ' + b"9" * 500_000 + b"}"),
    "a list": document([rsa()]),
    "no keys": document({}),
    "an empty list of keys": document({"keys": []}),
    "keys that are text": document({"keys": "abc"}),
    "keys that are numbers": document({"keys": [1, None, "a"]}),
    "thousands of keys": document({"keys": [rsa(kid=str(number), n="AQAB") for number in range(10_000)]}),
    "one key too many": document({"keys": [rsa(kid=str(number)) for number in range(MAX_KEYS + 1)]}),
    "keys for another algorithm": document(
        {"keys": [{"kty": "oct", "kid": "k", "k": "AAAA"}, {"kty": "EC", "kid": "k"}]}
    ),
    "keys for encryption": document({"keys": [rsa(use="enc")]}),
    "keys without names": document({"keys": [rsa(kid=None), rsa(kid="")]}),
    "keys that are no keys": document({"keys": [rsa(n=None), rsa(n="?"), rsa(e=[])]}),
    "404": lambda out: out(b"HTTP/1.0 404 Not Found\r\n\r\n"),
}


def settings(server: Server) -> dict[str, str]:
    return {"PUSH_AUDIENCE": AUDIENCE, "PUSH_SERVICE_ACCOUNT": EMAIL, "OIDC_JWKS_URL": server.url}


@pytest.mark.parametrize("send", SERVERS.values(), ids=SERVERS)
def test_an_invalid_key_set_is_a_nack_and_fetched_once(
    app: App,  # noqa: F811
    tokens: Tokens,  # noqa: F811
    outcomes: RequestLog,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
    send: Send,
) -> None:
    caplog.set_level(logging.CRITICAL)  # tracebacks of ours
    with serving(send) as server:
        client = app(**settings(server))
        began = time.monotonic()
        for number in range(3):
            reply = push(client, f"Bearer {tokens.bearer(EMAIL, AUDIENCE)}")
            assert (reply.status_code, reply.get_data()) == (503, b"not now; deliver it again\n"), number
        assert time.monotonic() - began < 3 * TIMEOUT_S
        assert server.asked == 1 and ended(outcomes) == {"nacked": 3}
        assert server.sent < 20 * MAX_BYTES, "buffers on the way hold some of it"


def test_a_redirect_is_not_followed(app: App, tokens: Tokens) -> None:  # noqa: F811
    with serving(document(tokens.documents[JWKS_PATH]())) as elsewhere:
        moved = b"HTTP/1.0 302 Found\r\nLocation: " + elsewhere.url.encode() + b"\r\n\r\n"
        with serving(lambda out: out(moved)) as server:
            assert push(app(**settings(server)), f"Bearer {tokens.bearer(EMAIL, AUDIENCE)}").status_code == 503
        assert elsewhere.asked == 0


def test_a_valid_key_among_invalid_ones_is_found(app: App, tokens: Tokens) -> None:  # noqa: F811
    good = json.loads(json.dumps(tokens.documents[JWKS_PATH]()))
    others = [1, {}, {"kty": "EC", "kid": "a"}, rsa(kid="b", n="?"), rsa(kid="c", use="enc")]
    for padding in (0, MAX_BYTES - 10_000):
        given = {"padding": " " * padding, "keys": others + good["keys"]}
        with serving(document(given)) as server:
            client = app(**settings(server))
            assert push(client, f"Bearer {tokens.bearer(EMAIL, AUDIENCE)}").status_code == 204
            assert push(client, f"Bearer {tokens.bearer(EMAIL, AUDIENCE)}").status_code == 204
            assert server.asked == 1


@pytest.mark.parametrize("part", [0, 1])
def test_a_deeply_nested_token_is_rejected(
    app: App,  # noqa: F811
    tokens: Tokens,  # noqa: F811
    outcomes: RequestLog,  # noqa: F811
    part: int,
) -> None:
    with serving(document(tokens.documents[JWKS_PATH]())) as server:
        parts = tokens.bearer(EMAIL, AUDIENCE).split(".")
        parts[part] = jwt.utils.base64url_encode(b"[" * 2500 + b"]" * 2500).decode()
        assert push(app(**settings(server)), f"Bearer {'.'.join(parts)}").status_code == 401
        assert ended(outcomes) == {"refused": 1}
