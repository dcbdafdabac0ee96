"""The page behind Identity-Aware Proxy: it accepts what IAP signed for its own service, and nothing else."""

from __future__ import annotations

import asyncio
import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from client.__main__ import main
from client.web.guard import Guard
from client.web.iap import IapTokens
from tests.service.page_server import PageServer

AUDIENCE = "/projects/123/locations/europe-west1/services/prediction-page"
HOST = "prediction-page-123.europe-west1.run.app"
KEY, OTHER = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
NOT_SIGNED = "this request did not come through Google's sign-in: open the page at its https address"


@pytest.fixture(scope="module")
def keys_url() -> Iterator[str]:
    """Serves the public key as www.gstatic.com does."""
    key = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key()))
    document = json.dumps({"keys": [{**key, "alg": "ES256", "use": "sig", "kid": "k"}]}).encode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(document)

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def token(key: ec.EllipticCurvePrivateKey = KEY, kid: str = "k", **changed: Any) -> str:
    now = int(time.time())
    claims = {"aud": AUDIENCE, "iss": "https://cloud.google.com/iap", "sub": "1", "iat": now, "exp": now + 600}
    given = {name: value for name, value in (claims | changed).items() if value is not None}
    return jwt.encode(given, key, "ES256", {"kid": kid})


def answer(keys_url: str, headers: list[tuple[str, str]], path: str = "/api/events") -> tuple[int, str]:
    """Status and body of a request through the guard alone."""

    async def passed(request: Any) -> PlainTextResponse:
        return PlainTextResponse("passed")

    guard = Guard(Starlette(routes=[Route(path, passed)]), "0.0.0.0", IapTokens(AUDIENCE, keys_url))
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    given = [(name.lower().encode(), value.encode()) for name, value in [("Host", HOST), *headers]]
    scope = {"type": "http", "method": "GET", "path": path, "headers": given, "query_string": b""}
    asyncio.run(guard(scope, receive, send))
    return sent[0]["status"], sent[1]["body"].decode()


def test_what_iap_signed_is_passed_on(keys_url: str) -> None:
    own = [("X-Goog-IAP-JWT-Assertion", token()), ("Origin", f"https://{HOST}"), ("Sec-Fetch-Site", "same-origin")]
    assert answer(keys_url, own) == (200, "passed")


def test_the_sign_in_leads_back_to_the_page(keys_url: str) -> None:
    """The browser comes from accounts.google.com."""
    back = [("X-Goog-IAP-JWT-Assertion", token()), ("Sec-Fetch-Site", "cross-site")]
    assert answer(keys_url, back, "/") == (200, "passed")


@pytest.mark.parametrize(
    "signed",
    [
        token(OTHER),
        token(kid="another"),
        token(aud="/projects/123/locations/europe-west1/services/another"),
        token(iss="https://accounts.google.com"),
        token(exp=int(time.time()) - 60),
        token(iat=int(time.time()) + 600),
        token(sub=None),
        token(exp=None),
        jwt.encode({"aud": AUDIENCE, "iss": "https://cloud.google.com/iap"}, "k" * 32, "HS256", {"kid": "k"}),
        "",
        "a.b.c",
    ],
    ids=["key", "key id", "audience", "issuer", "expired", "future", "no sub", "no exp", "HMAC", "empty", "malformed"],
)
def test_other_tokens_are_refused(keys_url: str, signed: str) -> None:
    assert answer(keys_url, [("X-Goog-IAP-JWT-Assertion", signed)]) == (
        401,
        json.dumps({"error": NOT_SIGNED}, separators=(",", ":")),
    )


def test_two_tokens_or_none_are_refused(keys_url: str) -> None:
    assert answer(keys_url, [])[0] == 401
    assert answer(keys_url, [("X-Goog-IAP-JWT-Assertion", token())] * 2)[0] == 401


def test_a_page_of_another_site_is_refused_with_a_token_too(keys_url: str) -> None:
    signed = ("X-Goog-IAP-JWT-Assertion", token())
    assert answer(keys_url, [signed, ("Origin", "https://pages.example")])[0] == 403
    assert answer(keys_url, [signed, ("Sec-Fetch-Site", "cross-site")])[0] == 403


def test_without_the_keys_it_is_not_open() -> None:
    status, body = answer("http://127.0.0.1:1/", [("X-Goog-IAP-JWT-Assertion", token())])
    assert status == 503 and "try again in a minute" in body


def test_the_command_refuses_what_did_not_come_through_iap(root: Path, tmp_path: Path) -> None:
    env = {"GOOGLE_CLOUD_PROJECT": "some-project", "IAP_AUDIENCE": AUDIENCE}
    with PageServer(root, tmp_path, env, "--host", "0.0.0.0") as server:
        for path in ("/", "/api/history", "/static/page.js"):
            reply = requests.get(server.url + path, timeout=10)
            assert (reply.status_code, reply.json()) == (401, {"error": NOT_SIGNED})
        assert "no password" not in server.said()


def test_another_audience_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["web", "--iap-audience", "prediction-page"], {"GOOGLE_CLOUD_PROJECT": "some-project"}) == 2
    assert "IAP_AUDIENCE is 'prediction-page'; it must look like /projects/NUMBER" in capsys.readouterr().err
