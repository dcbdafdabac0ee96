"""A request to the Storage server: its address, its complete body, and its preconditions."""

from __future__ import annotations

import json
import mmap
from collections.abc import Mapping
from datetime import datetime
from email.message import Message
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote

from infra.local.storage.addresses import path_of
from infra.local.storage.answer import Refusal

_CONDITIONS = {
    "If-Match": "ifMatch",
    "If-None-Match": "ifNoneMatch",
    "x-goog-if-generation-match": "ifGenerationMatch",
    "x-goog-if-metageneration-match": "ifMetagenerationMatch",
}


class PolicyChecker(Protocol):
    """Checks the policy documents of forms."""

    def check_policy(self, policy: str, fields: Mapping[str, str], expiration: datetime, /) -> None:
        """Refuse a form whose policy is expired or signed differently."""


class Request:
    """A request. A large `body` is mapped from the file `spool`; `params` are the variables of the route."""

    def __init__(
        self, method: str, address: str, headers: Message, body: bytes | mmap.mmap = b"", spool: Path | None = None
    ) -> None:
        self.method = headers.get("x-http-method-override") or method
        self.raw_path, _, self.raw_query = address.partition("?")
        self.path = path_of(self.raw_path, headers.get("Host", ""))
        self.pairs = parse_qsl(self.raw_query, keep_blank_values=True)
        self.query = dict(self.pairs)
        self.headers, self.body, self.spool = headers, body, spool
        self.params: dict[str, str] = {}
        self.signing_keys: PolicyChecker | None = None
        self.base_url = f"http://{headers.get('Host', '127.0.0.1')}"

    @property
    def bucket(self) -> str:
        """The bucket in the address."""
        return unquote(self.params["bucket"])

    @property
    def object(self) -> str:
        """The object in the address."""
        return unquote(self.params["object"])

    @property
    def conditions(self) -> dict[str, str]:
        """The query parameters together with the etags and the preconditions of the XML API's headers."""
        given = {name: self.headers.get(header) for header, name in _CONDITIONS.items()}
        return {**self.query, **{name: value for name, value in given.items() if value}}

    def flag(self, name: str) -> bool:
        """Whether a parameter is true."""
        return self.query.get(name, "").lower() == "true"

    def number(self, name: str, default: int = 0) -> int:
        """A parameter that is a whole number of at least 0."""
        text = self.query.get(name) or str(default)
        if not text.isdecimal():
            raise Refusal(400, f"{name} must be a whole number of at least 0, not {text!r}", "invalid")
        return int(text)

    def json(self) -> Mapping[str, Any]:
        """The body as a JSON object; an empty body is an empty object."""
        return json_object(bytes(self.body))


def json_object(text: bytes) -> Mapping[str, Any]:
    """Parse a JSON object. Refuses other values."""
    try:
        found = json.loads(text or b"{}")
        if b"\\ud" in text.lower():  # half of a surrogate pair alone is not text
            json.dumps(found, ensure_ascii=False).encode()
    except ValueError as exc:
        raise Refusal(400, f"The body is not JSON: {exc}", "parseError") from exc
    if not isinstance(found, Mapping):
        raise Refusal(400, "The body must be a JSON object", "invalid")
    return found
