"""Estimates the memory for a PNG's metadata, leaves damaged metadata out, and checks that the PNG has all its rows.

Pillow accepts a stream of pixels that ends early but properly, and leaves the missing rows empty.
Format: "Portable Network Graphics (PNG) Specification (Third Edition)", sections 5, 8 and 11.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress

from PIL import Image, ImageFile, _imaging

from model.errors import ImageTooLarge, InvalidImage
from model.images.limits import EXIF_COST, Limits, too_many_parts

MAX_TEXTS = 20
"""Maximum number of compressed texts. Pillow decompresses each, and one of them may hold the orientation."""

_TEXT_BYTES = 4_000_000
"""Bytes of memory for a compressed text: Pillow unpacks at most a megabyte, and a character takes up to four bytes."""

_CHARACTER_BYTES = 10
"""Bytes of memory for each byte of an uncompressed text, most of them while Pillow parses it."""

_RAW_PROFILE, _RAW_PROFILE_BYTES = b"Raw profile type exif\0", 10_000_000
"""The key of a text with EXIF, and the bytes of memory for its content."""

_NEEDED = (b"IHDR", b"PLTE", b"tRNS")
"""The chunks that the pixels need, apart from IDAT, whose stream has a checksum of its own."""

_UNUSED = (b"iCCP", b"gAMA", b"cHRM", b"sRGB", b"pHYs")
"""Chunks that are not used. Pillow refuses the file if their content is damaged."""

_UNWRITTEN = 90
"""The value of each sample before decoding. `check_rows` recognizes rows that were not written by it."""

_ANCILLARY = 0x20
"""The bit in the first byte of the kind of a chunk without which the image can be shown."""

_CHUNK = struct.Struct(">I4s").unpack_from
_INFLATED_AT_ONCE = 65_536
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PASSES = (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)
"""The passes of an interlaced image: first column, first row, and the distances of columns and of rows."""


def read_metadata(data: bytes, limits: Limits) -> tuple[int, tuple[tuple[int, int], ...]]:
    """Return the bytes of memory for a PNG's texts and other chunks without pixels, and the chunks to leave out.

    These, each with its start and stop, are not used or damaged: Pillow refuses the file for them, and viewers do not.
    Raises InvalidImage if the checksum of a chunk that the pixels need is wrong.
    """
    taken, compressed, left_out = 0, 0, []
    for kind, start, stop in _chunks(data, limits):
        if kind == b"IDAT":
            continue
        if kind in _UNUSED or ((kind in _NEEDED or _is_ancillary(kind)) and _is_damaged(data, start, stop)):
            if kind in _NEEDED:
                raise InvalidImage(f"the image is damaged: the checksum of its chunk {kind.decode()} is wrong")
            left_out.append((start - 8, stop + 4))
            continue
        if kind == b"fdAT":
            continue
        taken += (EXIF_COST if kind == b"eXIf" else 1) * (stop - start)
        if kind not in (b"tEXt", b"zTXt", b"iTXt"):
            continue
        if kind == b"zTXt" or (kind == b"iTXt" and _is_compressed(data[start:stop])):
            compressed += 1
        else:
            taken += _CHARACTER_BYTES * (stop - start)
        if data.startswith(_RAW_PROFILE, start):
            taken += _RAW_PROFILE_BYTES
    if compressed > MAX_TEXTS:
        raise ImageTooLarge(f"the image has {compressed} compressed texts; at most {MAX_TEXTS} are allowed")
    copy = len(data) if left_out else 0
    return copy + taken + _TEXT_BYTES * compressed, tuple(left_out)


def without(data: bytes, left_out: Sequence[tuple[int, int]]) -> bytes:
    """Return a PNG without the chunks that `read_metadata` left out."""
    kept, end = [], 0
    for start, stop in left_out:
        kept.append(data[end:start])
        end = stop
    return b"".join((*kept, data[end:])) if kept else data


def prepare(image: ImageFile.ImageFile) -> None:
    """Fill an image with _UNWRITTEN before decoding, so that `check_rows` detects rows that were not written."""
    if [tile.extents for tile in image.tile] == [(0, 0, *image.size)]:
        image.im = _imaging.fill(image.mode, image.size, _unwritten(image))


def check_rows(image: Image.Image, data: bytes, limits: Limits) -> None:
    """Raise InvalidImage if the stream of pixels has fewer bytes than the image needs.

    The bytes are counted only if the last row looks unwritten, because that takes a third of the time of decoding.
    """
    interlaced = bool(image.info.get("interlace"))
    last = image.height - 1
    if interlaced and image.height > 1:
        last = (image.height // 2) * 2 - 1  # The last pass holds every other row.
    row, unwritten = (0, last, image.width, last + 1), _unwritten(image)
    if image.getpixel((image.width - 1, last)) != unwritten and (image.height > 1 or not interlaced):
        return
    if image.height > 1 and image.crop(row).tobytes() != Image.new(image.mode, (image.width, 1), unwritten).tobytes():
        return
    width, height, depth, colour = struct.unpack_from(">IIBB", data, 16)
    bits = depth * _SAMPLES[colour]
    passes = _PASSES if interlaced else ((0, 0, 1, 1),)
    if _inflated(data, limits) < sum(_pass_bytes(width, height, bits, *each) for each in passes):
        raise InvalidImage("the image is truncated: it has fewer rows than its header states")


def _unwritten(image: Image.Image) -> int | tuple[int, ...]:
    bands = len(image.getbands())
    if image.mode == "1":
        return 0
    return _UNWRITTEN if bands == 1 else (_UNWRITTEN,) * bands


def _pass_bytes(width: int, height: int, bits: int, left: int, top: int, across: int, down: int) -> int:
    columns, rows = -(-(width - left) // across), -(-(height - top) // down)
    return rows * (1 + -(-columns * bits // 8)) if columns > 0 and rows > 0 else 0


def _inflated(data: bytes, limits: Limits) -> int:
    """Return the number of bytes in the stream of pixels, up to the first error."""
    inflate, count = zlib.decompressobj(), 0
    with suppress(zlib.error):
        for kind, start, stop in _chunks(data, limits):
            packed = data[start:stop] if kind == b"IDAT" else b""
            while packed and not inflate.eof:
                count += len(inflate.decompress(packed, _INFLATED_AT_ONCE))
                packed = inflate.unconsumed_tail
    return count


def _chunks(data: bytes, limits: Limits) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start and stop of the chunks' data, to the end of the image."""
    start = 16
    for _ in range(limits.max_reads):
        if start > len(data):
            return
        length, kind = _CHUNK(data, start - 8)
        if kind == b"IEND":
            return
        yield kind, start, min(start + length, len(data))
        start += length + 12
    raise too_many_parts(limits.max_reads)


def _is_ancillary(kind: bytes) -> bool:
    """Return whether the image can be shown without a chunk of this kind."""
    return kind.isalpha() and bool(kind[0] & _ANCILLARY)


def _is_damaged(data: bytes, start: int, stop: int) -> bool:
    """Return whether the checksum of the chunk with the content data[start:stop] is wrong."""
    return zlib.crc32(memoryview(data)[start - 4 : stop]).to_bytes(4, "big") != data[stop : stop + 4]


def _is_compressed(text: bytes) -> bool:
    """Return the compression flag of an international text, which follows its keyword and a zero byte."""
    return text.partition(b"\0")[2][:1] != b"\0"
