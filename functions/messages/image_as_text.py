"""Recognizes an image that was sent as text, after it could not be read: the sender learns what to send instead.

Base64, data URLs, forms and `curl -d @file` are the usual cases. Nothing here accepts an image.
"""

from __future__ import annotations

import binascii
import re

_HEAD_BYTES = 400
"""Bytes of the payload that are examined; the rest only decides whether line breaks and NUL bytes are missing."""

_MAGIC = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*")
"""The first bytes of the image formats; those of AVIF and HEIC are at offset 4."""

_CHANGED = (b"\x89PNG\x1a", b"\x89PNG\n\x1a", b"\x89PNG\r\r\n", b"\xc2\x89PNG", b"\xc3\xbf\xc3\x98", b"\xef\xbf\xbd")
"""The first bytes of an image whose line breaks were removed or changed, or that was read as text and became UTF-8."""

_BASE64 = re.compile(rb"""\s*(?:b?["'])?([A-Za-z0-9+/_\-\s]{16,})""")
"""Base64 in both alphabets, also between quotes and as Python prints bytes."""

_TEXTS = {
    re.compile(rb"""\s*["']?data:""", re.I): "a data URL",
    re.compile(rb"""\s*["']?(gs|https?|file)://""", re.I): "an address",
    re.compile(rb"\xff\xfe|\xfe\xff"): "text in UTF-16",
    re.compile(rb"\s*[\[{]"): "JSON",
    re.compile(rb"[\w.%\[\]-]{1,80}="): "a URL-encoded form",
    re.compile(rb"--[\w'()+,./:=? -]{1,70}\r?\n", re.A): "a form whose Content-Type is not multipart/form-data",
}
_INSTEAD = 'send the bytes of the image file as they are, or {"image_uri": "gs://bucket/object"}'
_CURL = "send it with curl --data-binary @FILE or -F file=@FILE, or as the bytes of the file in another client"


def image_as_text(payload: bytes) -> str | None:
    """Return what a payload is, which is no readable image, and what to send instead; None if that is not known."""
    head = payload[:_HEAD_BYTES]
    if head.startswith(_CHANGED):
        return f"the image was changed on its way, because it was sent as text; {_CURL}"
    if _may_be_stripped(head) and not (b"\0" in payload or b"\n" in payload or b"\r" in payload):
        return f"the image has lost its line breaks and NUL bytes, as after curl -d @FILE; {_CURL}"
    if _is_base64(head):
        return f"the image is base64 text; {_INSTEAD}"
    for pattern, name in _TEXTS.items():
        if pattern.match(head):
            return f"the image is {name}; {_INSTEAD}"
    return None


def _may_be_stripped(head: bytes) -> bool:
    """Whether this may begin an image file without NUL bytes; each format has some in its first structures."""
    begins = head.startswith((*_MAGIC, b"II*", b"MM*")) or b"ftyp" in head[:8]
    return begins and not head.decode("latin-1").isprintable()


def _is_base64(head: bytes) -> bool:
    """Whether this is base64 of an image."""
    found = _BASE64.match(head)
    if not found:
        return False
    text = b"".join(found[1].split()).translate(bytes.maketrans(b"-_", b"+/"))
    begin = binascii.a2b_base64(text[: len(text) // 4 * 4])
    return begin.startswith(_MAGIC) or begin[4:8] == b"ftyp"
