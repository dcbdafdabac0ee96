"""Hostile image files: a shared archive of malformed files, and generated ones that are costly to decode."""

from __future__ import annotations

import lzma
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from PIL import Image

from tests.image_files import chunk, grey_tiff, jpeg, png, png_size, save, scan, tiff, tiff_of, webp_of_groups

_MEGABYTE = 1 << 20


def archived(data: Path, every: int = 1) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of the files in the shared archive, or of every n-th file."""
    with lzma.open(data / "hostile-images.tar.xz") as packed, tarfile.open(fileobj=packed) as archive:
        for number, member in enumerate(each for each in archive if each.isfile()):
            if number % every == 0 and (file := archive.extractfile(member)):
                yield member.name, file.read()


def png_of_crumbs() -> bytes:
    """Its pixels come a byte at a time: 700,000 chunks, each read in Python."""
    pixels = zlib.compress(bytes(801 * 900), 0)[:700_000]
    return png(png_size(800, 900), *(chunk(b"IDAT", pixels[at : at + 1]) for at in range(len(pixels))))


def png_of_empty_chunks() -> bytes:
    """Chunks that mean nothing, before the first pixel."""
    return png(png_size(40, 40), chunk(b"abCd", b"") * 800_000)


def tall_png() -> bytes:
    """One pixel wide: a pointer for each row weighs more than the pixels."""
    return save(Image.new("RGB", (1, 16_000_000)), "PNG")


def jpeg_of_segments() -> bytes:
    """Millions of empty segments before the image."""
    return b"\xff\xd8" + b"\xff\xe0\x00\x02" * 2_400_000 + save(Image.new("L", (8, 8)), "JPEG")[2:]


def jpeg_of_scans() -> bytes:
    """99 scans of 32 million pixels, each a few bytes long."""
    data = save(Image.new("L", (8_000, 4_000), "gray"), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * (99 - data.count(b"\xff\xda")) + data[-2:]


def jpeg_in_parts() -> bytes:
    """A sequential JPEG of 64 million pixels and a scan for each colour: libjpeg keeps 384 MB of coefficients."""
    return jpeg(0xC0, (8_000, 8_000), 3, b"".join(scan(bytes([each])) for each in (1, 2, 3)))


def cmyk_in_parts() -> bytes:
    """The same of four colours: 512 MB in 199 bytes."""
    return jpeg(0xC1, (8_000, 8_000), 4, b"".join(scan(bytes([each])) for each in (1, 2, 3, 4)))


def progressive_cmyk() -> bytes:
    """A progressive JPEG of 31 million pixels of four colours: 250 MB of coefficients."""
    return jpeg(0xC2, (7_800, 4_000), 4, scan(b"\1\2\3\4", 0, 0) + scan(b"\1", 1))


def tiff_of_scans() -> bytes:
    """A sequential JPEG of 99 scans in a TIFF: libtiff decodes it in one go."""
    scans = b"".join(scan(bytes([1 + number % 3]), data=bytes(9)) for number in range(99))
    return tiff_of(jpeg(0xC0, (4_000, 4_000), 3, scans), 4_000, 4_000, 7, samples=3)


def tiff_of_coefficients() -> bytes:
    """A sequential JPEG of four colours and as many scans in a TIFF: 128 MB of coefficients."""
    body = jpeg(0xC0, (4_000, 4_000), 4, b"".join(scan(bytes([each])) for each in (1, 2, 3, 4)))
    return tiff_of(body, 4_000, 4_000, 7, samples=4)


def tiff_of_the_same_jpeg() -> bytes:
    """A tile of two million pixels in 30 scans, eight times the same one."""
    body = jpeg(0xC0, (2_000, 1_000), 3, b"".join(scan(bytes([1 + number % 3]), data=bytes(9)) for number in range(30)))
    places = struct.pack("<I", 1064) * 8 + struct.pack("<I", len(body)) * 8
    colours = (258, 3, 1, 8), (262, 3, 1, 2), (277, 3, 1, 3)
    plain = [each for each in grey_tiff(2_000, 8_000, 7) if each[0] not in (258, 262, 277)]
    tiles = (322, 4, 1, 2_000), (323, 4, 1, 1_000), (324, 4, 8, 1000), (325, 4, 8, 1032)
    return tiff([*plain, *colours, *tiles], places + body)


def tiff_of_the_same_bytes() -> bytes:
    """Eight thousand strips that all are the same two megabytes, to be passed over in search of a marker."""
    count, body = 8_000, b"\xff\xd8" + bytes(2_000_000)
    places = struct.pack("<I", 1000 + 8 * count) * count + struct.pack("<I", len(body)) * count
    more = (273, 4, count, 1000), (278, 4, 1, 8), (279, 4, count, 1000 + 4 * count)
    return tiff(grey_tiff(8, 8 * count, 7, *more), places + body)


def tiff_of_tags() -> bytes:
    """A thousand tags that libtiff does not know, each with the same five megabytes."""
    more = (273, 4, 1, 1000), (278, 4, 1, 48), *((33_000 + number, 7, 5_000_000, 8) for number in range(1_000))
    entries = sorted(grey_tiff(64, 48, 5, *more))
    table = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + bytes(5_000_000)


def png_of_texts() -> bytes:
    """Sixty texts that unpack to a megabyte of characters each, of four bytes: 250 MB in 64 KB."""
    text = zlib.compress("\U0001f600".encode() + b"a" * (_MEGABYTE - 10), 9)
    texts = (chunk(b"iTXt", b"text %d\0\1\0\0\0" % number + text) for number in range(60))
    return png(png_size(40, 40), *texts, chunk(b"IDAT", zlib.compress(bytes(41 * 40))), chunk(b"IEND", b""))


def bmp_of_short_runs() -> bytes:
    """Run lengths of one pixel, each read in Python."""
    runs = b"\x01\x01" * 4_800_000
    head = struct.pack("<IiiHHIIiiII", 40, 4_000, 4_000, 1, 8, 1, len(runs), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 14 + 40 + 1024 + len(runs), 0, 0, 14 + 40 + 1024) + head + bytes(1024) + runs


def tiff_of_strips() -> bytes:
    """Millions of strips of 8x8 pixels: gigabytes of Python objects, minutes."""
    count = 4_500_000
    more = (273, 3, count, 1000), (278, 4, 1, 1)
    return tiff(grey_tiff(8, 8, 1, *more), struct.pack("<H", 8) * count)


def tiff_of_a_huge_tile() -> bytes:
    """10x10 pixels in a tile of 268 million, deflated to 261 KB."""
    edge, deflate = 16_384, zlib.compressobj(9)
    body = b"".join(deflate.compress(bytes(_MEGABYTE)) for _ in range(edge * edge // _MEGABYTE)) + deflate.flush()
    more = (322, 4, 1, edge), (323, 4, 1, edge), (324, 4, 1, 1000), (325, 4, 1, len(body))
    return tiff(grey_tiff(10, 10, 8, *more), body)


def tiff_of_tiles() -> bytes:
    """A column of tiles that are a million pixels wide and all the same one: 64 billion pixels in 49 KB."""
    count, edge = 4_095, 983_040
    tile = zlib.compress(bytes(edge * 16), 9)
    places = struct.pack("<I", 1016 + 8 * count) * count + struct.pack("<I", len(tile)) * count
    # A value that does not fit into a LONG8 is stored elsewhere, where libtiff reads it.
    more = (322, 16, 1, 1000), (323, 16, 1, 1008), (324, 4, count, 1016), (325, 4, count, 1016 + 4 * count)
    return tiff(grey_tiff(16, 16 * count, 8, *more), struct.pack("<QQ", edge, 16) + places + tile)


def tiff_of_a_signed_tile() -> bytes:
    """The same tile as above, its edges of a type with a sign."""
    return tiff_of_a_huge_tile().replace(struct.pack("<HH", 322, 4), struct.pack("<HH", 322, 9))


def exif_of_fractions() -> bytes:
    """A resolution, and an orientation, of a million fractions."""
    count = 590_000
    entries = [(0x112, 5, count, 1000), (0x11A, 5, count, 1000 + 8 * count), (0x128, 3, 1, 2)]
    return tiff(entries, struct.pack("<II", 1, 1) * 2 * count)


def tiff_of_fractions() -> bytes:
    """Its resolution is such a list: each fraction is an object in Python."""
    count = 1_200_000
    more = (273, 4, 1, 1000), (278, 4, 1, 8), (279, 4, 1, 64), (282, 5, count, 1000), (283, 5, 1, 1000), (296, 3, 1, 2)
    return tiff(grey_tiff(8, 8, 1, *more), struct.pack("<II", 1, 1) * count)


def jpeg_of_exif() -> bytes:
    """Megabytes of EXIF in segments that Pillow joins."""
    exif = exif_of_fractions()
    parts = [b"Exif\0\0" + exif[at : at + 65_000] for at in range(0, len(exif), 65_000)]
    segments = b"".join(b"\xff\xe1" + struct.pack(">H", len(part) + 2) + part for part in parts)
    return b"\xff\xd8" + segments + save(Image.new("L", (8, 8)), "JPEG")[20:]


def png_of_exif() -> bytes:
    """The same in a chunk."""
    pixels = chunk(b"IDAT", zlib.compress(bytes(41 * 40)))
    return png(png_size(40, 40), chunk(b"eXIf", exif_of_fractions()), pixels, chunk(b"IEND", b""))


def large_webp() -> bytes:
    """16 million pixels, which are decoded in one go."""
    return save(Image.new("RGBA", (4_000, 4_000), (9, 9, 9, 9)), "WEBP", lossless=True, quality=0, method=0)


def webp_of_prefix_codes() -> bytes:
    """A million pixels in 65,536 groups, each with tables of its own: 383 MB in 295 KB."""
    return webp_of_groups(256, 65_536)


def avif_of_a_larger_frame() -> bytes:
    """A frame of 36 million pixels in an image that is said to have 64x64: it is decoded, and made smaller then."""
    data = save(Image.new("L", (6_000, 6_000), 90), "AVIF", speed=10, quality=10)
    return data.replace(b"ispe" + struct.pack(">III", 0, 6_000, 6_000), b"ispe" + struct.pack(">III", 0, 64, 64))


def png_of_a_raw_profile() -> bytes:
    """EXIF as text, in three million lines of a byte each: Pillow makes an object of a line."""
    text = chunk(b"tEXt", b"Raw profile type exif\0" + b"ab\n" * 3_200_000)
    return png(png_size(40, 40), text, chunk(b"IDAT", zlib.compress(bytes(41 * 40))), chunk(b"IEND", b""))


COSTLY: dict[str, Callable[[], bytes]] = {
    each.__name__.replace("_", " "): cache(each)
    for each in (
        png_of_crumbs,
        png_of_empty_chunks,
        tall_png,
        jpeg_of_segments,
        jpeg_of_scans,
        bmp_of_short_runs,
        tiff_of_strips,
        tiff_of_a_huge_tile,
        tiff_of_a_signed_tile,
        tiff_of_tiles,
        tiff_of_fractions,
        jpeg_of_exif,
        png_of_exif,
        large_webp,
        webp_of_prefix_codes,
        avif_of_a_larger_frame,
        jpeg_in_parts,
        cmyk_in_parts,
        progressive_cmyk,
        tiff_of_scans,
        tiff_of_coefficients,
        tiff_of_the_same_jpeg,
        tiff_of_the_same_bytes,
        tiff_of_tags,
        png_of_texts,
        png_of_a_raw_profile,
    )
}
"""Each over a limit, so that `image_too_large` answers it, and under 10 MB, so that it travels in a message."""


def deep_png() -> bytes:
    """16 million pixels of 16 bits, which Pillow alone would clip."""
    return save(Image.frombytes("I;16", (4_000, 4_000), bytes(range(256)) * 125_000), "PNG", compress_level=1)


def clear_png() -> bytes:
    """16 million pixels with transparency."""
    return save(Image.new("RGBA", (4_000, 4_000), (200, 10, 10, 128)), "PNG", compress_level=1)


def wide_png() -> bytes:
    """So long and thin that it is not made smaller, with transparency."""
    return save(Image.new("RGBA", (65_535, 244), (200, 10, 10, 128)), "PNG", compress_level=1)


def float_tiff() -> bytes:
    """16 million floats."""
    return save(Image.new("F", (4_000, 4_000), 0.5), "TIFF", compression="tiff_deflate")


def progressive_jpeg() -> bytes:
    """32 million pixels whose coefficients are all held at once."""
    return save(Image.linear_gradient("L").resize((8_000, 4_000)).convert("RGB"), "JPEG", progressive=True)


def parted_jpeg() -> bytes:
    """A sequential JPEG of 31 million pixels with a scan for each colour, all its data there."""
    scans = b"".join(scan(bytes([each]), data=bytes(7_750 * 4_000 // 64 // 4 + 300)) for each in (1, 2, 3))
    return jpeg(0xC0, (7_750, 4_000), 3, scans)


def webp_of_a_phone() -> bytes:
    """12 million pixels with transparency."""
    return save(Image.new("RGBA", (4_032, 3_024), (9, 200, 9, 99)), "WEBP", lossless=True, quality=0, method=0)


LARGE: dict[str, Callable[[], bytes]] = {
    each.__name__.replace("_", " "): cache(each)
    for each in (deep_png, clear_png, wide_png, float_tiff, progressive_jpeg, parted_jpeg, webp_of_a_phone)
}
"""As large as the limits allow: each is answered with predictions."""
