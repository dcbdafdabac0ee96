"""OIDC tokens of pushes: signed as Google signs them, with a key of our own, and the public key to check them with."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import hashlib
import json
import time
from collections.abc import Callable
from typing import Any

_LIFETIME_S = 3600
_ISSUER = "https://accounts.google.com"

JWKS_PATH = "/oauth2/v3/certs"
"""Where the public key is as a JSON Web Key Set (RFC 7517), as at www.googleapis.com."""

PEM_PATH = "/oauth2/v1/certs"
"""Where it is in PEM by key id, as google.oauth2.id_token.verify_token reads it."""


class Tokens:
    """Makes tokens, and serves the public key over HTTP. The key is made when it is first needed: it takes a moment."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, str], tuple[float, str]] = {}
        self._server: asyncio.Server | None = None

    def bearer(self, email: str, audience: str) -> str:
        """A token (RFC 7519, RS256) that says a push comes from this service account; one is used for half an hour."""
        now = time.time()
        made_at, token = self._made.get((email, audience), (0.0, ""))
        if now - made_at > _LIFETIME_S / 2:
            token = self._sign(_claims(email, audience, int(now)))
            self._made[email, audience] = (now, token)
        return token

    async def serve(self, host: str, port: int) -> int:
        """Serve the public key on a port of an address, 0 for a free one; gives the port. OSError when it is taken."""
        self._server = await asyncio.start_server(self._answer, host, port)
        return int(self._server.sockets[0].getsockname()[1])

    def close(self) -> None:
        """Stop serving."""
        if self._server:
            self._server.close()

    @functools.cached_property
    def _key(self) -> Any:
        # Here: neither the import nor the key is for twins that sign nothing.
        from cryptography.hazmat.primitives.asymmetric import rsa

        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @functools.cached_property
    def _key_id(self) -> str:
        return hashlib.sha256(self._pem.encode()).hexdigest()[:40]

    @functools.cached_property
    def _pem(self) -> str:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        return str(self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())

    def _sign(self, claims: dict[str, Any]) -> str:
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.hashes import SHA256

        header = {"alg": "RS256", "kid": self._key_id, "typ": "JWT"}
        signed = ".".join(_encoded(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
        return f"{signed}.{_encoded(self._key.sign(signed.encode(), PKCS1v15(), SHA256()))}"

    def _jwks(self) -> dict[str, Any]:
        numbers = self._key.public_key().public_numbers()
        key = {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": self._key_id}
        return {"keys": [{**key, "n": _number(numbers.n), "e": _number(numbers.e)}]}

    def _pems(self) -> dict[str, Any]:
        return {self._key_id: self._pem}

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, and close."""
        with contextlib.suppress(OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            request = await reader.readuntil(b"\r\n\r\n")
            method, target, *_ = request.split(None, 2)
            path = target.partition(b"?")[0].decode(errors="replace")
            documents: dict[str, Callable[[], dict[str, Any]]] = {JWKS_PATH: self._jwks, PEM_PATH: self._pems}
            status, document = "404 Not Found", {"error": f"there is nothing here; the keys are at {JWKS_PATH}"}
            if method == b"GET" and path in documents:
                status, document = "200 OK", documents[path]()
            body = json.dumps(document).encode()
            head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)
            await writer.drain()
        writer.close()


def _claims(email: str, audience: str, now: int) -> dict[str, Any]:
    # The subject is the account's number in the cloud: some number that stays the same for the account.
    subject = str(10**20 + int(hashlib.sha256(email.encode()).hexdigest(), 16) % 10**20)
    return {
        "aud": audience,
        "azp": subject,
        "email": email,
        "email_verified": True,
        "exp": now + _LIFETIME_S,
        "iat": now,
        "iss": _ISSUER,
        "sub": subject,
    }


def _number(value: int) -> str:
    return _encoded(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
