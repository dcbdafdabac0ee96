"""The base image's digest, from a registry: a stand-in with the Docker Registry HTTP API V2."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from infra.deploy.__main__ import main
from infra.deploy.base_image import is_pinned, untagged

DIGEST = f"sha256:{'5' * 64}"


class Registry:
    """What it answers: `digest` to a reader with the token from `realm`, by default its own address."""

    def __init__(self) -> None:
        self.digest, self.realm, self.token, self.seen = DIGEST, "", '{"token": "anonymous"}', list[str]()


@contextmanager
def serving(registry: Registry) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            registry.seen.append(f"HEAD {self.path}")
            if self.path != "/v2/library/python/manifests/3.11-slim":
                self.send_response(404)
            elif self.headers.get("Authorization") == "Bearer anonymous":
                assert "oci.image.index" in self.headers["Accept"]
                self.send_response(200)
                self.send_header("Docker-Content-Digest", registry.digest)
            else:
                self.send_response(401)
                realm = registry.realm or f"http://{self.headers['Host']}/token"
                scope = "repository:library/python:pull"
                self.send_header("WWW-Authenticate", f'Bearer realm="{realm}",service="registry",scope="{scope}"')
            self.end_headers()

        def do_GET(self) -> None:
            registry.seen.append(f"GET {self.path}")
            self.send_response(200)
            self.end_headers()
            self.wfile.write(registry.token.encode())

        def log_message(self, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def host(registry: Registry) -> Iterator[str]:
    with serving(registry) as host:
        yield host


def test_the_registry_gives_the_digest(
    registry: Registry, host: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["base-image", f"{host}/library/python:3.11-slim"], {}, tmp_path) == 0
    assert capsys.readouterr().out == f"{host}/library/python@{DIGEST}\n"
    manifest = "HEAD /v2/library/python/manifests/3.11-slim"
    token = "GET /token?service=registry&scope=repository%3Alibrary%2Fpython%3Apull"
    assert registry.seen == [manifest, token, manifest]


@pytest.mark.parametrize(
    ("changed", "name", "said"),
    [
        ({}, "library/python:3.99", "HTTP Error 404"),
        ({"digest": "sha256:5"}, "library/python:3.11-slim", "gives 'sha256:5' as the digest of "),
        ({"digest": ""}, "library/python:3.11-slim", "gives '' as the digest of "),
        ({"token": "{}"}, "library/python:3.11-slim", "HTTP Error 401"),
        ({"token": "no"}, "library/python:3.11-slim", "gives no digest of "),
        ({"token": "[]"}, "library/python:3.11-slim", "gives no digest of "),
        ({"realm": "http://example.com/token"}, "library/python:3.11-slim", "refers to 'http://example.com/token'"),
    ],
)
def test_without_a_digest_it_says_why(
    changed: dict[str, str],
    name: str,
    said: str,
    registry: Registry,
    host: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for field, value in changed.items():
        setattr(registry, field, value)
    assert main(["base-image", f"{host}/{name}"], {}, tmp_path) == 1
    heard = capsys.readouterr()
    assert heard.out == ""
    assert heard.err.startswith(f"base-image stopped: {host} gives ") and said in heard.err


def test_a_registry_that_is_not_there_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Registry()) as host:
        pass
    assert main(["base-image", f"{host}/python:3.11"], {}, tmp_path) == 1
    assert f"{host} gives no digest of '{host}/python:3.11': " in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", "Python:3.11", "python:3.11:slim", "python@sha256:5", "python 3.11", "-x"])
def test_a_name_that_is_none_is_refused(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["base-image", "--", name], {}, tmp_path) == 1
    assert "is not the name of an image with a tag, such as python:3.11-slim" in capsys.readouterr().err


def test_a_name_with_a_digest_is_pinned() -> None:
    assert is_pinned(f"python@{DIGEST}") and not is_pinned("python@sha256:5") and not is_pinned("python:3.11")
    assert untagged("localhost:5000/library/python:3.11") == "localhost:5000/library/python"
