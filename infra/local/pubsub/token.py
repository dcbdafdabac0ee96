"""OIDC tokens of pushes, signed like Google's with a generated key, and the public key that verifies them."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import time
from collections.abc import Callable
from typing import Any

# Seconds that a token is valid.
_LIFETIME_S = 3600
_ISSUER = "https://accounts.google.com"

# Path of the public key as a JSON Web Key Set (RFC 7517), as at www.googleapis.com.
JWKS_PATH = "/oauth2/v3/certs"

# Path of the public key in PEM by key id, as google.oauth2.id_token.verify_token reads it.
PEM_PATH = "/oauth2/v1/certs"


class Tokens:
    """Signs tokens and publishes the public key. The key is generated at its first use, because that takes a moment."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, str], tuple[float, str]] = {}
        self.documents: dict[str, Callable[[], dict[str, Any]]] = {JWKS_PATH: self._jwks, PEM_PATH: self._pems}

    def bearer(self, email: str, audience: str) -> str:
        """A token (RFC 7519, RS256) that names this service account as the pusher; it is reused for half an hour."""
        now = time.time()
        made_at, token = self._made.get((email, audience), (0.0, ""))
        if now - made_at > _LIFETIME_S / 2:
            token = self._sign(_claims(email, audience, int(now)))
            self._made[email, audience] = (now, token)
        return token

    @functools.cached_property
    def _key(self) -> Any:
        # Imported here, because most twins sign no tokens.
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


def _claims(email: str, audience: str, now: int) -> dict[str, Any]:
    # In the cloud the subject is the account's number; here it is a number derived from the email.
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
