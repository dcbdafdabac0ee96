"""Image files put together byte by byte: what no encoder would write."""

from __future__ import annotations

import io
import itertools
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


def bits(number: int, count: int) -> str:
    """A number as a lossless WebP writes it: the lowest bit first."""
    return f"{number:0{count}b}"[::-1]


_ONE_SYMBOL = "1000"
"""A prefix code of a lossless WebP for the symbol 0 alone: it takes no bits."""


def _code_of_bytes(symbols: int) -> str:
    """A prefix code in which each byte is its own word, the highest bit first."""
    lengths = "".join(bits(number in (2, 11), 3) for number in range(12))  # at these two places: of 0 and of 8
    ends_early = "1" + bits(3, 3) + bits(256 - 2, 8) if symbols > 256 else "0"
    return "0" + bits(12 - 4, 4) + lengths + ends_early + "1" * 256


def webp_of_groups(edge: int, groups: int) -> bytes:
    """A black lossless WebP, its edge in blocks of 4 pixels, each of a group of its own until there are as many."""
    size = bits(4 * edge - 1, 14) * 2 + "0" + bits(0, 3)
    numbers = (min(number, groups - 1) for number in range(edge * edge))
    blocks = "0" + _code_of_bytes(280) + _code_of_bytes(256) + _ONE_SYMBOL * 3
    blocks += "".join(f"{number & 255:08b}{number >> 8:08b}" for number in numbers)
    stream = bits(0x2F, 8) + size + "0" + "0" + "1" + bits(0, 3) + blocks + _ONE_SYMBOL * 5 * groups
    body = int(stream[::-1], 2).to_bytes(len(stream) // 8 + 10 & ~1, "little")
    return b"RIFF" + struct.pack("<I", 12 + len(body)) + b"WEBPVP8L" + struct.pack("<I", len(body)) + body


def box(kind: bytes, *parts: bytes) -> bytes:
    """A box of an AVIF."""
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body


def obu(kind: int, fields: str) -> bytes:
    """A unit of an AV1 stream from its bits; what they do not fill is 0."""
    body = int(fields.ljust(-(-len(fields) // 8) * 8, "0"), 2).to_bytes(-(-len(fields) // 8), "big")
    return bytes([kind << 3 | 2, len(body)]) + body


def still_sequence(width: int, height: int) -> bytes:
    """A sequence header as for an image."""
    return obu(1, f"00011{0:05b}{15:04b}{15:04b}{width - 1:016b}{height - 1:016b}")


def moving_sequence(width: int, height: int) -> bytes:
    """A sequence header as for a video, with all that may come before its size."""
    timing = f"1{0:064b}0" + f"1{9:05b}{0:032b}{0:05b}{6:05b}"
    points = f"1{1:05b}" + f"{0:012b}{9:05b}01{0:021b}1{0:04b}" + f"{0:012b}{3:05b}00"
    size = f"{15:04b}{15:04b}{width - 1:016b}{height - 1:016b}"
    return obu(1, "00000" + timing + points + size + "1" + f"{2:04b}{1:03b}" + f"{0:07b}1{0:02b}" + "11")


def moving_frame(own_size: bool) -> bytes:
    """A frame that is shown, of the stream above, up to where it says that its size is its own."""
    return obu(6, "0" + "01" + "1" + f"{0:07b}" + "0" + "0" + "11" + f"{0:06b}" + str(int(own_size)) + "0" * 90)


def avif(*streams: bytes, pieces: int = 1, inside: bool = False) -> bytes:
    """The boxes that say where coded images lie: no decoder would take it. `inside`: they lie in the boxes, too."""
    head = box(b"ftyp", b"avif", bytes(4), b"avif")
    kinds = (box(b"infe", struct.pack(">IHH4s", 2 << 24, 1 + each, 0, b"av01")) for each in range(len(streams)))
    infos = box(b"iinf", struct.pack(">IH", 0, len(streams)), *kinds)
    items_bytes = 8 + 8 + len(streams) * (8 + 8 * pieces)
    at = 0 if inside else len(head) + 12 + len(infos) + items_bytes + 8
    places = b""
    for number, stream in enumerate(streams):
        places += struct.pack(">HHHH", 1 + number, int(inside), 0, pieces)
        cuts = [len(stream) * cut // pieces for cut in range(pieces + 1)]
        for start, stop in itertools.pairwise(cuts):
            places += struct.pack(">II", at + start, stop - start)
        at += len(stream)
    items = box(b"iloc", struct.pack(">IBBH", 1 << 24, 0x44, 0, len(streams)), places)
    meta = box(b"meta", bytes(4), infos, items, *([box(b"idat", *streams)] if inside else []))
    return head + meta + box(b"mdat", *([] if inside else streams))
