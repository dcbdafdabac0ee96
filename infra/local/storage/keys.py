"""Customer-supplied encryption keys: an object made with one is only given to who has it. Nothing is encrypted."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping

from infra.local.storage.answer import Refusal
from infra.local.storage.request import Request
from infra.local.storage.store import Row

_FIELD = "customerEncryption"


def given(request: Request, prefix: str = "x-goog-encryption-") -> dict[str, Mapping[str, str]]:
    """The field of an object that is made with the key in a request's headers; empty without."""
    key, told = request.headers.get(f"{prefix}key"), request.headers.get(f"{prefix}key-sha256")
    if not key:
        return {}
    try:
        raw = base64.b64decode(key, validate=True)
    except ValueError:
        raw = b""
    digest = base64.b64encode(hashlib.sha256(raw).digest()).decode()
    if len(raw) != 32 or told not in (None, digest):
        raise Refusal(400, f"{prefix}key must be 32 bytes in base64, with their sha256 beside it", "invalid")
    return {_FIELD: {"encryptionAlgorithm": "AES256", "keySha256": digest}}


def check(row: Row, request: Request, prefix: str = "x-goog-encryption-") -> None:
    """Refuse the bytes of an object to who has not its key, or brings one for an object without."""
    wanted, brought = row.data.get(_FIELD), given(request, prefix).get(_FIELD)
    if wanted and not brought:
        words = "The object is encrypted by a customer-supplied encryption key; the request must bring it"
        raise Refusal(400, words, "resourceIsEncryptedWithCustomerEncryptionKey")
    if wanted != brought:
        raise Refusal(
            400, "The encryption key of the request is not that of the object", "customerEncryptionKeyIsIncorrect"
        )
