"""Customer-supplied encryption keys: an object with a key needs that key for reads. Nothing is encrypted."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping

from infra.local.storage.answer import Refusal
from infra.local.storage.request import Request
from infra.local.storage.store import Row

_FIELD = "customerEncryption"


def given(request: Request, prefix: str = "x-goog-encryption-") -> dict[str, Mapping[str, str]]:
    """The object's field for the key in a request's headers; empty without a key."""
    key, sha256 = request.headers.get(f"{prefix}key"), request.headers.get(f"{prefix}key-sha256")
    if not key:
        return {}
    try:
        raw = base64.b64decode(key, validate=True)
    except ValueError:
        raw = b""
    digest = base64.b64encode(hashlib.sha256(raw).digest()).decode()
    if len(raw) != 32 or sha256 not in (None, digest):
        raise Refusal(400, f"{prefix}key must be 32 bytes in base64, with a matching {prefix}key-sha256", "invalid")
    return {_FIELD: {"encryptionAlgorithm": "AES256", "keySha256": digest}}


def check(row: Row, request: Request, prefix: str = "x-goog-encryption-") -> None:
    """Refuse a request without the object's key, or with a key for an object that has none."""
    wanted, brought = row.data.get(_FIELD), given(request, prefix).get(_FIELD)
    if wanted and not brought:
        reason = "The object is encrypted with a customer-supplied encryption key, which the request must contain"
        raise Refusal(400, reason, "resourceIsEncryptedWithCustomerEncryptionKey")
    if wanted != brought:
        raise Refusal(
            400, "The encryption key of the request differs from the object's", "customerEncryptionKeyIsIncorrect"
        )
