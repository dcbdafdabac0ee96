"""Request bodies that a client compressed with gzip, as Google's Java client does with every one."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from infra.local.storage.answer import Refusal

# Bytes that one step decompresses at most.
_STEP = 1 << 20
_GZIP = 16 + zlib.MAX_WBITS


def decompressed(pieces: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """Yield the bytes of a gzip file, also of several members. Refuses other content, and more than `limit` bytes."""
    member, size = zlib.decompressobj(_GZIP), 0
    for piece in pieces:
        while piece:
            if member.eof:
                member = zlib.decompressobj(_GZIP)
            try:
                found = member.decompress(piece, _STEP)
            except zlib.error as exc:
                raise Refusal(400, f"The body is not gzip, as Content-Encoding says: {exc}", "invalid") from exc
            piece = member.unused_data if member.eof else member.unconsumed_tail
            size += len(found)
            if size > limit:
                raise Refusal(413, f"The body has more than {limit} bytes when it is decompressed", "uploadTooLarge")
            yield found
    if not member.eof:
        raise Refusal(400, "The body ends within its gzip data", "invalid")
