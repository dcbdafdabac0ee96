"""Image files put together byte by byte: what no encoder would write."""

from __future__ import annotations

import io
import struct
import zlib

from PIL import Image


def save(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def png(*chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_size(width: int, height: int) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))


def scan(components: bytes, start: int = 0, stop: int = 63, data: bytes = b"\0") -> bytes:
    """A scan of a JPEG: the ids of its components, the coefficients that it brings, its data."""
    ids = b"".join(bytes([each, 0]) for each in components)
    return b"\xff\xda" + struct.pack(">HB", 6 + len(ids), len(components)) + ids + bytes([start, stop, 0]) + data


def jpeg(kind: int, size: tuple[int, int], components: int, scans: bytes, sampling: int = 0x11) -> bytes:
    """A JPEG whose only code word means nothing: a byte of data stands for any number of blocks, of no contrast.

    `kind`: the marker of its frame. `sampling`: factors of its first component, the others have 1x1.
    """
    rows = b"".join(bytes([each, sampling if each == 1 else 0x11, 0]) for each in range(1, components + 1))
    frame = struct.pack(">HBHHB", 8 + len(rows), 8, size[1], size[0], components) + rows
    adobe = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0" if components == 4 else b""
    words = b"".join(b"\xff\xc4\0\x14" + bytes([table, 1, *bytes(15), 0]) for table in (0x00, 0x10))
    return (
        b"\xff\xd8"
        + adobe
        + b"\xff\xdb\0\x43\0"
        + b"\1" * 64
        + bytes([0xFF, kind])
        + frame
        + words
        + scans
        + b"\xff\xd9"
    )


Entry = tuple[int, int, int, int]
"""Of a TIFF's directory: tag, type, count, value or place."""


def tiff(entries: list[Entry], body: bytes, order: str = "<") -> bytes:
    """One directory; the body begins at byte 1000."""
    table = b"".join(
        struct.pack(order + ("HHIHxx" if (kind, count) == (3, 1) else "HHII"), tag, kind, count, value)
        for tag, kind, count, value in sorted(entries)
    )
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "IH", 8, len(entries))
    return (head + table + bytes(4)).ljust(1000, b"\0") + body


def grey_tiff(width: int, height: int, compression: int, *more: Entry) -> list[Entry]:
    plain = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, compression), (262, 3, 1, 1)]
    return [*plain, (277, 3, 1, 1), *more]


def tiff_of(body: bytes, width: int, height: int, compression: int, *more: Entry, samples: int = 1) -> bytes:
    """A TIFF with one strip."""
    strip = (273, 4, 1, 1000), (278, 4, 1, height), (279, 4, 1, len(body))
    entries = [each for each in grey_tiff(width, height, compression) if each[0] not in (258, 262, 277)]
    colours = (258, 3, 1, 8), (262, 3, 1, 2 if samples == 3 else 5 if samples == 4 else 1), (277, 3, 1, samples)
    return tiff([*entries, *colours, *strip, *more], body)
