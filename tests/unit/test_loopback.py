"""Loopback is excluded from proxies, in addition to what the environment excludes already."""

from __future__ import annotations

import pytest

from client.loopback import keep_from_proxies, without_proxy

LOOPBACK = "127.0.0.1,localhost,::1"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, {"no_proxy": LOOPBACK}),
        ({"no_proxy": ".corp, 10.0.0.0/8"}, {"no_proxy": f".corp,10.0.0.0/8,{LOOPBACK}"}),
        ({"NO_PROXY": ".corp"}, {"no_proxy": f".corp,{LOOPBACK}"}),
        ({"no_proxy": "localhost"}, {"no_proxy": "localhost,127.0.0.1,::1"}),
        ({"no_proxy": "*"}, {"no_proxy": "*"}),
        ({"no_grpc_proxy": "a"}, {"no_proxy": LOOPBACK, "no_grpc_proxy": f"a,{LOOPBACK}"}),
    ],
)
def test_loopback_is_added_once(environ: dict[str, str], expected: dict[str, str]) -> None:
    assert without_proxy(environ) == expected
    assert without_proxy(environ | expected) == expected


@pytest.mark.parametrize("name", ["http_proxy", "HTTPS_PROXY", "all_proxy", "grpc_proxy"])
def test_a_proxy_is_recognised(name: str) -> None:
    environ, without = {name: "http://proxy:3128"}, {name: "", "no_proxy": "x"}
    keep_from_proxies(environ)
    keep_from_proxies(without)
    assert environ["no_proxy"] == LOOPBACK and without == {name: "", "no_proxy": "x"}
