"""Authorization by entry point: pushes need Google's token, and HTTP requests need HTTP_ENDPOINT=on."""

from __future__ import annotations

import base64
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from werkzeug.test import Client

from functions import bootstrap
from functions.observability.request_log import RequestLog
from infra.local.pubsub.token import JWKS_PATH, PEM_PATH, Tokens
from tests.fakes import MemoryResponses, fake_handler, forget_settings
from tests.http_worker import SERVERS, http_client, use
from tests.samples import encoded
from tests.waiting import until

EMAIL, AUDIENCE = "pusher@example.com", "worker"

App = Callable[..., Client]
"""Makes a worker with the settings that it is given."""


@pytest.fixture(scope="module")
def tokens() -> Tokens:
    return Tokens()


class KeyServer:
    """Serves the public key of `tokens` as a key set, and counts the requests."""

    def __init__(self, tokens: Tokens) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(handler) -> None:
                self.asked += 1
                handler.send_response(503 if self.broken else 200)
                handler.end_headers()
                handler.wfile.write(json.dumps(tokens.documents[handler.path]()).encode())

            def log_message(handler, *_: object) -> None: ...

        self.asked, self.broken = 0, False
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}{JWKS_PATH}"


@contextmanager
def serving(keys: KeyServer) -> Iterator[KeyServer]:
    thread = threading.Thread(target=keys.server.serve_forever, args=(0.02,))
    thread.start()
    yield keys
    keys.server.shutdown()
    thread.join()
    keys.server.server_close()


@pytest.fixture(scope="module")
def keys(tokens: Tokens) -> Iterator[KeyServer]:
    with serving(KeyServer(tokens)) as keys:
        yield keys


@pytest.fixture
def broken(tokens: Tokens) -> Iterator[KeyServer]:
    """A separate key set that fails at first."""
    with serving(KeyServer(tokens)) as keys:
        keys.broken = True
        yield keys


@pytest.fixture
def responses() -> MemoryResponses:
    return MemoryResponses()


@pytest.fixture(params=SERVERS)
def app(
    root: Path, monkeypatch: pytest.MonkeyPatch, responses: MemoryResponses, request: pytest.FixtureRequest
) -> Iterator[App]:
    use(fake_handler(responses=responses), monkeypatch)
    monkeypatch.syspath_prepend(str(root))

    def make(**settings: str) -> Client:
        for name, value in {"GOOGLE_CLOUD_PROJECT": "p", **settings}.items():
            monkeypatch.setenv(name, value)
        forget_settings()
        return http_client(request.param)

    yield make
    forget_settings()


@pytest.fixture
def outcomes() -> RequestLog:
    """Counted from nothing."""
    bootstrap.request_log.cache_clear()
    return bootstrap.request_log()


@pytest.fixture
def guarded(app: App, keys: KeyServer) -> Client:
    return app(PUSH_AUDIENCE=AUDIENCE, PUSH_SERVICE_ACCOUNT=EMAIL, OIDC_JWKS_URL=keys.url)


def push(client: Client, authorization: str | None, path: str = "/") -> Any:
    message = {"data": base64.b64encode(encoded()).decode(), "messageId": "m1", "attributes": {"request_id": "r1"}}
    headers = {} if authorization is None else {"Authorization": authorization}
    return client.post(path, json={"message": message}, headers=headers)


def ended(outcomes: RequestLog) -> dict[str, int]:
    return {name: count for name, count in outcomes.counts()["outcomes"].items() if count}


def signed(tokens: Tokens, *, key: Any = None, headers: dict[str, str] | None = None, **changes: Any) -> str:
    """A token like those of `tokens`, with other claims. None omits a claim."""
    good = tokens.bearer(EMAIL, AUDIENCE)
    claims = jwt.decode(good, options={"verify_signature": False}) | changes
    headers = {"kid": jwt.get_unverified_header(good)["kid"], **(headers or {})}
    return jwt.encode({k: v for k, v in claims.items() if v is not None}, key or tokens._key, "RS256", headers)


@pytest.mark.parametrize("path", ["/", "/dead"])
def test_the_pushing_account_is_authorized(
    guarded: Client, tokens: Tokens, responses: MemoryResponses, path: str
) -> None:
    assert push(guarded, f"Bearer {tokens.bearer(EMAIL, AUDIENCE)}", path).status_code == 204
    assert push(guarded, f"bearer {signed(tokens, iss='accounts.google.com')}", path).status_code == 204
    assert [response.request_id for response in responses.published] == ["r1", "r1"]


@pytest.mark.parametrize("path", ["/", "/dead"])
@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Bearer junk", "Bearer a.b.c"]
)
def test_a_push_without_a_token_is_rejected(
    guarded: Client, responses: MemoryResponses, outcomes: RequestLog, path: str, authorization: str | None
) -> None:
    reply = push(guarded, authorization, path)
    assert reply.status_code == 401 and reply.headers["WWW-Authenticate"] == "Bearer"
    assert responses.published == [] and ended(outcomes) == {"refused": 1}


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"aud": "another"}, 401),
        ({"aud": None}, 401),
        ({"iss": "https://evil.example"}, 401),
        ({"iss": None}, 401),
        ({"exp": 1_600_000_000}, 401),
        ({"exp": None}, 401),
        ({"iat": 4_000_000_000}, 401),
        ({"email": "another@example.com"}, 403),
        ({"email": None}, 403),
        ({"email_verified": False}, 403),
        ({"email_verified": "true"}, 403),
        ({"email_verified": None}, 403),
    ],
    ids=str,
)
def test_a_token_for_others_is_rejected(
    guarded: Client, tokens: Tokens, responses: MemoryResponses, changes: dict[str, Any], status: int
) -> None:
    assert push(guarded, f"Bearer {signed(tokens, **changes)}").status_code == status
    assert responses.published == []


def test_a_token_that_another_key_signed_is_rejected(
    guarded: Client, tokens: Tokens, responses: MemoryResponses
) -> None:
    another = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert push(guarded, f"Bearer {signed(tokens, key=another)}").status_code == 401
    assert push(guarded, f"Bearer {signed(tokens, key=another, headers={'kid': 'made-up'})}").status_code == 401
    assert responses.published == []


def test_a_token_that_needs_no_key_is_rejected(guarded: Client, tokens: Tokens, responses: MemoryResponses) -> None:
    """Unsigned, signed with the public key as if it were a password, and as Cloud Run passes tokens on."""
    good = tokens.bearer(EMAIL, AUDIENCE)
    kid, claims = jwt.get_unverified_header(good)["kid"], jwt.decode(good, options={"verify_signature": False})
    for alg in ("none", "HS256"):
        header = base64.urlsafe_b64encode(json.dumps({"alg": alg, "kid": kid}).encode()).rstrip(b"=").decode()
        body = good.split(".")[1]
        assert push(guarded, f"Bearer {header}.{body}.").status_code == 401
    pem = next(iter(tokens.documents[PEM_PATH]().values()))
    confused = jwt.encode(claims, base64.b64encode(pem.encode()), "HS256", {"kid": kid})
    assert push(guarded, f"Bearer {confused}").status_code == 401
    stripped = good.rpartition(".")[0] + ".SIGNATURE_REMOVED_BY_GOOGLE"
    assert push(guarded, f"Bearer {stripped}").status_code == 401
    assert responses.published == []


def test_unreachable_signing_keys_are_a_nack_and_not_a_rejection(
    app: App, tokens: Tokens, outcomes: RequestLog
) -> None:
    nowhere = app(PUSH_AUDIENCE=AUDIENCE, PUSH_SERVICE_ACCOUNT=EMAIL, OIDC_JWKS_URL="http://127.0.0.1:9/certs")
    assert push(nowhere, f"Bearer {tokens.bearer(EMAIL, AUDIENCE)}").status_code == 503
    assert ended(outcomes) == {"nacked": 1}


def test_an_unreachable_key_set_is_not_fetched_for_every_request(app: App, tokens: Tokens, broken: KeyServer) -> None:
    client = app(PUSH_AUDIENCE=AUDIENCE, PUSH_SERVICE_ACCOUNT=EMAIL, OIDC_JWKS_URL=broken.url)
    for number in range(20):
        assert push(client, f"Bearer {signed(tokens, headers={'kid': str(number)})}").status_code == 503
    assert broken.asked == 1


def test_a_recovered_key_set_is_fetched_again(
    app: App, tokens: Tokens, broken: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.gcp.signing_keys.NEGATIVE_CACHE_S", 0.05)
    client = app(PUSH_AUDIENCE=AUDIENCE, PUSH_SERVICE_ACCOUNT=EMAIL, OIDC_JWKS_URL=broken.url)
    good = f"Bearer {tokens.bearer(EMAIL, AUDIENCE)}"
    assert push(client, good).status_code == 503
    broken.broken = False
    assert until(lambda: push(client, good).status_code == 204)


def test_unknown_key_ids_cause_no_fetch(guarded: Client, tokens: Tokens, keys: KeyServer) -> None:
    assert push(guarded, f"Bearer {tokens.bearer(EMAIL, AUDIENCE)}").status_code == 204
    before = keys.asked
    for number in range(20):
        assert push(guarded, f"Bearer {signed(tokens, headers={'kid': str(number)})}").status_code == 401
    assert 1 <= before == keys.asked


def test_a_token_is_ignored_unless_authorization_is_configured(app: App) -> None:
    assert push(app(), None).status_code == 204


def test_the_http_endpoint_is_closed_unless_opened(app: App, outcomes: RequestLog) -> None:
    closed = app()
    reply = closed.post("/predict", data=encoded())
    assert reply.status_code == 404 and "HTTP_ENDPOINT=on opens it" in reply.get_data(as_text=True)
    assert closed.get("/ready").status_code == 200 and ended(outcomes) == {"refused": 1}
    assert app(HTTP_ENDPOINT="on").post("/predict", data=encoded()).status_code == 200


def test_a_push_token_gives_no_access_to_the_http_endpoint(guarded: Client, tokens: Tokens) -> None:
    assert push(guarded, f"Bearer {tokens.bearer(EMAIL, AUDIENCE)}", "/predict").status_code == 404
