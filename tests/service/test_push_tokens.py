"""Push tokens: signed like Google's and verified like an endpoint does. Google's emulator signs none."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from functools import partial

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA256
from google.api_core import exceptions
from google.auth import jwt
from google.cloud import pubsub_v1

from infra.local.pubsub.server import PubsubServer
from infra.local.twin import Twin
from tests.service.endpoint import Endpoint
from tests.waiting import until

EMAIL = "pusher@example.com"
TOPIC, SUBSCRIPTION = "projects/p/topics/topic", "projects/p/subscriptions/subscription"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[PubsubServer]:
    with PubsubServer() as server:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", server.host)
        yield server


def pushed(endpoint: Endpoint, **push: object) -> list[str]:
    """The Authorization headers of two messages that are pushed so."""
    with pubsub_v1.SubscriberClient() as subscriber, pubsub_v1.PublisherClient() as publisher:
        publisher.create_topic(name=TOPIC)
        config = {"push_endpoint": endpoint.url, **push}
        subscriber.create_subscription({"name": SUBSCRIPTION, "topic": TOPIC, "push_config": config})
        for number in (1, 2):
            publisher.publish(TOPIC, b"x").result(10)
            assert until(partial(endpoint.has, number))
    return [push.headers.get("authorization", "") for push in endpoint.pushes]


def test_a_push_is_signed(server: PubsubServer, endpoint: Endpoint) -> None:
    before = int(time.time())
    first, second = pushed(endpoint, oidc_token={"service_account_email": EMAIL, "audience": "worker"})
    assert first == second, "one token serves for a while"
    scheme, token = first.split(" ")
    certs = requests.get(server.jwks_url.replace("/v3/", "/v1/"), timeout=5).json()
    claims = jwt.decode(token, certs=certs, audience="worker")
    assert scheme == "Bearer"
    assert claims.pop("exp") - claims["iat"] == 3600 and before <= claims.pop("iat") <= time.time()
    assert claims.pop("sub") == claims.pop("azp")
    issuer = "https://accounts.google.com"
    assert claims == {"iss": issuer, "aud": "worker", "email": EMAIL, "email_verified": True}
    with pytest.raises(ValueError, match="audience"):
        jwt.decode(token, certs=certs, audience="another")


def test_the_key_set_verifies_the_signature(server: PubsubServer, endpoint: Endpoint) -> None:
    token = pushed(endpoint, oidc_token={"service_account_email": EMAIL})[0].removeprefix("Bearer ")
    [key] = requests.get(server.jwks_url, timeout=5).json()["keys"]
    header, claims, signature = (base64.urlsafe_b64decode(part + "==") for part in token.split("."))
    assert json.loads(header) == {"alg": "RS256", "typ": "JWT", "kid": key["kid"]}
    assert json.loads(claims)["aud"] == endpoint.url, "without an audience it is the endpoint"
    n, e = (int.from_bytes(base64.urlsafe_b64decode(key[name] + "=="), "big") for name in ("n", "e"))
    public = RSAPublicNumbers(e, n).public_key()
    public.verify(signature, token.rpartition(".")[0].encode(), PKCS1v15(), SHA256())


def test_without_oidc_nothing_is_signed(server: PubsubServer, endpoint: Endpoint) -> None:
    assert pushed(endpoint) == ["", ""]


def test_unwrapped_pushes_are_signed_too(server: PubsubServer, endpoint: Endpoint) -> None:
    signed = pushed(endpoint, no_wrapper={"write_metadata": True}, oidc_token={"service_account_email": EMAIL})
    assert all(header.startswith("Bearer ") for header in signed)


def test_a_token_needs_an_account(server: PubsubServer, endpoint: Endpoint) -> None:
    with pytest.raises(exceptions.InvalidArgument, match="service_account_email"):
        pushed(endpoint, oidc_token={"audience": "worker"})


def test_unknown_paths_of_the_key_server_are_not_found(server: PubsubServer) -> None:
    answer = requests.get(server.jwks_url + "/x", timeout=5)
    assert answer.status_code == 404 and "/oauth2/v3/certs/x" in answer.json()["error"]["message"]


def test_the_twin_says_where_the_keys_are() -> None:
    with Twin(worker=None) as twin:
        assert twin.jwks_url == twin.env["OIDC_JWKS_URL"]
        assert requests.get(twin.env["OIDC_JWKS_URL"], timeout=5).json()["keys"]
    assert "OIDC_JWKS_URL" not in Twin(pubsub="google").env
