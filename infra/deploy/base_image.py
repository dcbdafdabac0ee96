"""The digest of a base image, from its registry: `python -m infra.deploy base-image NAME`. It signs in nowhere."""

from __future__ import annotations

import json
import re
import urllib.request
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.parse import urlencode

from model.text import printable, quoted

TIMEOUT_S = 30
_HUB = "registry-1.docker.io"
_INDEXES = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json"
_MANIFESTS = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
_NAME = re.compile(r"(?P<path>[a-z0-9][a-z0-9._/-]*(?::[0-9]+/[a-z0-9._/-]+)?)(?::(?P<tag>[\w][\w.-]{0,127}))?")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_LOOPBACK = re.compile(r"(127\.0\.0\.1|localhost)(:\d+)?")


class Unresolved(Exception):
    """The registry gave no digest; the message names the image and the reason."""


def is_pinned(name: str) -> bool:
    """Whether the name contains a digest."""
    return _DIGEST.fullmatch(name.partition("@")[2]) is not None


def untagged(name: str) -> str:
    """The name without its tag; unchanged when it is not a valid name."""
    found = _NAME.fullmatch(name)
    return found["path"] if found else name


def resolved(name: str) -> str:
    """`python:3.11-slim` as `python@sha256:...`, by the Docker Registry HTTP API V2. Raises Unresolved."""
    found = _NAME.fullmatch(name)
    if not found:
        raise Unresolved(f"{quoted(name)} is not the name of an image with a tag, such as python:3.11-slim")
    host, path = _place(found["path"])
    scheme = "http" if _LOOPBACK.fullmatch(host) else "https"
    try:
        digest = _digest(f"{scheme}://{host}/v2/{path}/manifests/{found['tag'] or 'latest'}")
    except (OSError, ValueError, HTTPException) as exc:
        raise Unresolved(f"{host} gives no digest of {quoted(name)}: {printable(str(exc))}") from exc
    if not _DIGEST.fullmatch(digest):
        raise Unresolved(f"{host} gives {quoted(digest)} as the digest of {quoted(name)}")
    return f"{found['path']}@{digest}"


def _place(path: str) -> tuple[str, str]:
    """The registry's host, and the image's path there. As for docker, a host has a dot or a port."""
    host, _, rest = path.partition("/")
    if rest and (set(".:") & set(host) or host == "localhost"):
        return (_HUB if host == "docker.io" else host), rest
    return _HUB, path if rest else f"library/{path}"


def _digest(url: str) -> str:
    accept = {"Accept": f"{_INDEXES}, {_MANIFESTS}"}
    try:
        return _head(url, accept)
    except HTTPError as exc:
        challenge = exc.headers.get("WWW-Authenticate", "")
        if exc.code != 401 or not challenge.startswith("Bearer "):
            raise
    return _head(url, accept | {"Authorization": f"Bearer {_token(challenge)}"})


def _head(url: str, headers: dict[str, str]) -> str:
    request = urllib.request.Request(url, headers=headers, method="HEAD")
    # The address begins with https, or with http on this machine.
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as reply:  # nosec B310
        return str(reply.headers.get("Docker-Content-Digest", ""))


def _token(challenge: str) -> str:
    """An anonymous token for reading, from the address in the registry's challenge."""
    given = dict(_CHALLENGE.findall(challenge))
    realm = given.pop("realm", "")
    if not re.match(r"https://|http://(127\.0\.0\.1|localhost)[:/]", realm):
        raise ValueError(f"the registry refers to {quoted(realm)}")
    asked = {name: given[name] for name in ("service", "scope") if name in given}
    with urllib.request.urlopen(f"{realm}?{urlencode(asked)}", timeout=TIMEOUT_S) as reply:  # nosec B310
        answer = json.load(reply)
    if not isinstance(answer, dict):
        raise ValueError("the registry's answer contains no token")
    return str(answer.get("token") or answer.get("access_token") or "")
