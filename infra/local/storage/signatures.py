"""Signed URLs and signed forms: checks date and signature where the public key of the account is known."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote, unquote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate

from infra.local.storage.answer import Refusal
from infra.local.storage.request import Request

_log = logging.getLogger("infra.local.storage")

_ALGORITHM = "GOOG4-RSA-SHA256"

# Seconds that a signature may be valid: a week.
_LONGEST_S = 604_800


class SigningKeys:
    """Public keys of service accounts from a folder: a file EMAIL.pem for each, with a public key or a certificate.

    Without one nothing is checked. Raises OSError when it does not exist or a file is no RSA key.
    """

    def __init__(self, folder: Path | None = None) -> None:
        if folder and not folder.is_dir():
            raise OSError(f"the folder of signing keys {folder} does not exist; create it, with a file EMAIL.pem a key")
        self._keys = {path.stem: _read(path) for path in sorted(folder.glob("*.pem"))} if folder else {}
        self._folder, self._named = folder, set[str]()

    def check(self, request: Request) -> None:
        """Check a signed URL; refuses one that is expired, not yet valid, or signed differently (400, 403)."""
        query = request.query
        if "X-Goog-Signature" in query:
            account, _, scope = query.get("X-Goog-Credential", "").partition("/")
            if key := self._key(account, query.get("X-Goog-Algorithm", "")):
                _check_dates(query.get("X-Goog-Date", ""), query.get("X-Goog-Expires", ""))
                host = request.headers.get("Host", "")
                # Google's Node client signs the name of the host without its port.
                signed = [_string_to_sign(request, scope, each) for each in (host, host.partition(":")[0])]
                _verify(key, _from_hex(query["X-Goog-Signature"]), *signed)
        elif "Signature" in query and (key := self._key(query.get("GoogleAccessId", ""), _ALGORITHM)):
            expires = query.get("Expires", "")
            if not expires.isdecimal() or datetime.now(UTC).timestamp() > int(expires):
                raise Refusal(400, f"The signed URL has expired: Expires is {expires!r}", "invalid", "ExpiredToken")
            _verify(key, base64.b64decode(query["Signature"]), _old_string_to_sign(request, expires))

    def check_policy(self, policy: str, fields: Mapping[str, str], expiration: datetime) -> None:
        """Check the signature and the expiration of a form's policy document, given in base64."""
        account = fields.get("x-goog-credential", "").partition("/")[0]
        key = self._key(account, fields.get("x-goog-algorithm", ""))
        if not key:
            return
        if datetime.now(UTC) > expiration:
            raise Refusal(400, f"The policy document expired at {expiration}", "invalid", "ExpiredToken")
        _verify(key, _from_hex(fields.get("x-goog-signature", "")), policy)

    def _key(self, account: str, algorithm: str) -> RSAPublicKey | None:
        key = self._keys.get(account) if algorithm == _ALGORITHM else None
        if not key and self._folder and account not in self._named:
            self._named.add(account)
            _log.warning(
                "signatures of %s are not checked: there is no key %s", account, self._folder / f"{account}.pem"
            )
        return key


def _read(path: Path) -> RSAPublicKey:
    text = path.read_bytes()
    try:
        found = load_pem_x509_certificate(text).public_key() if b"CERTIFICATE" in text else load_pem_public_key(text)
    except ValueError as exc:
        raise OSError(f"{path} is not a public key or a certificate in PEM: {exc}") from exc
    if not isinstance(found, RSAPublicKey):
        raise OSError(f"{path} must hold an RSA key, as those of service accounts are")
    return found


def _verify(key: RSAPublicKey, signature: bytes, *texts: str) -> None:
    """Refuse a signature of none of the texts."""
    for text in texts:
        with contextlib.suppress(InvalidSignature):
            key.verify(signature, text.encode(), PKCS1v15(), hashes.SHA256())
            return
    reason = f"The signature does not match. The signed text must be: {texts[0]!r}"
    raise Refusal(403, reason, "forbidden", "SignatureDoesNotMatch")


def _check_dates(date: str, expires: str) -> None:
    try:
        began = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise Refusal(400, f"X-Goog-Date must look like 20300131T120000Z, not {date!r}", "invalid") from None
    if not expires.isdecimal() or int(expires) > _LONGEST_S:
        raise Refusal(400, f"X-Goog-Expires must be at most {_LONGEST_S} seconds, not {expires!r}", "invalid")
    if (now := datetime.now(UTC)) < began:
        raise Refusal(403, f"The signed URL is not valid before {began}", "forbidden", "AccessDenied")
    if now > began + timedelta(seconds=int(expires)):
        raise Refusal(400, f"The signed URL has expired {expires} s after {began}", "invalid", "ExpiredToken")


def _string_to_sign(request: Request, scope: str, host: str) -> str:
    """What version 4 signs with a value of the header Host (Google Cloud, "Canonical requests")."""
    pairs = [pair.partition("=") for pair in request.raw_query.split("&") if pair]
    encoded = sorted((_encoded(name), _encoded(value)) for name, _, value in pairs if name != "X-Goog-Signature")
    names = sorted(request.query.get("X-Goog-SignedHeaders", "").lower().split(";"))
    values = {name: ",".join(" ".join(each.split()) for each in request.headers.get_all(name, [])) for name in names}
    values["host"] = host
    canonical = [
        request.method,
        request.raw_path,
        "&".join(f"{name}={value}" for name, value in encoded),
        *(f"{name}:{values[name]}" for name in names),
        "",
        ";".join(names),
        values.get("x-goog-content-sha256") or "UNSIGNED-PAYLOAD",
    ]
    digest = hashlib.sha256("\n".join(canonical).encode()).hexdigest()
    return "\n".join([_ALGORITHM, request.query.get("X-Goog-Date", ""), scope, digest])


def _old_string_to_sign(request: Request, expires: str) -> str:
    """What version 2 signs (Google Cloud, "V2 signing process")."""
    ours = {
        name.lower(): value.strip() for name, value in request.headers.items() if name.lower().startswith("x-goog-")
    }
    extensions = "".join(f"{name}:{value}\n" for name, value in sorted(ours.items()) if "encryption" not in name)
    headers = request.headers.get("Content-MD5", ""), request.headers.get("Content-Type", "")
    return "\n".join([request.method, *headers, expires, f"{extensions}{request.path}"])


def _encoded(text: str) -> str:
    return quote(unquote(text), safe="-_.~")


def _from_hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise Refusal(400, f"A signature must be hexadecimal, not {text[:20]!r}", "invalid") from None
