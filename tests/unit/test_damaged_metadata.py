"""Damage outside the pixels: files that viewers show are read, and the others are refused with the reason."""

from __future__ import annotations

import io
import time
import zlib

import pytest
from PIL import Image

from model.errors import ImageTooLarge, InvalidImage
from model.images.decode import decode_image
from model.images.header import read_header
from model.images.limits import Limits
from tests.image_files import chunk, png, save
from tests.samples import encoded

ICC = b"profile\0\0" + zlib.compress(bytes(300))
CONTENTS = {
    b"tEXt": b"Comment\0made by hand",
    b"zTXt": b"Comment\0\0" + zlib.compress(b"made by hand"),
    b"iTXt": b"Comment\0\0\0\0\0made by hand",
    b"iCCP": ICC,
    b"gAMA": bytes([0, 0, 177, 143]),
    b"cHRM": bytes(32),
    b"sRGB": b"\0",
    b"pHYs": bytes(9),
    b"eXIf": b"MM\0*\0\0\0\10\0\0\0\0\0\0",
    b"tIME": bytes(7),
    b"bKGD": bytes(6),
    b"acTL": bytes(8),
    b"prVt": b"private",
}
"""Ancillary chunks: their kinds, and a content that is right."""


def damaged(whole: bytes) -> bytes:
    """The chunk with another checksum."""
    return whole[:-1] + bytes([whole[-1] ^ 1])


def around(data: bytes, extra: bytes, before: bytes) -> bytes:
    """The PNG with a further chunk before the first chunk of a kind."""
    at = data.index(before) - 4
    return data[:at] + extra + data[at:]


@pytest.mark.parametrize("kind", CONTENTS)
@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P"])
def test_a_png_with_a_damaged_ancillary_chunk_is_read(kind: bytes, before: bytes, mode: str) -> None:
    data = encoded("PNG", (40, 30), mode)
    wrong = damaged(chunk(kind, CONTENTS[kind]))
    assert decode_image(around(data, wrong, before), Limits()) == decode_image(data, Limits())


@pytest.mark.parametrize("kind", [b"iCCP", b"gAMA", b"cHRM", b"sRGB", b"pHYs"])
def test_the_content_of_a_chunk_that_is_not_used_does_not_matter(kind: bytes) -> None:
    data = encoded("PNG", (40, 30), "RGB")
    for content in (b"", b"\0", b"name\0\0no stream", b"name\0\0" + zlib.compress(bytes(3_000_000))):
        assert decode_image(around(data, chunk(kind, content), b"IDAT"), Limits()) == decode_image(data, Limits())


def test_several_damaged_chunks_are_left_out() -> None:
    data = expected = encoded("PNG", (40, 30), "RGB")
    for kind, content in CONTENTS.items():
        data = around(data, damaged(chunk(kind, content)), b"IDAT")
        data = around(data, damaged(chunk(kind, content)), b"IEND")
    assert decode_image(data, Limits()) == decode_image(expected, Limits())


def test_good_metadata_is_used_next_to_damaged() -> None:
    turned = Image.Exif()
    turned[0x112] = 6
    data = encoded("PNG", (40, 30), "RGB", exif=turned)
    data = around(data, damaged(chunk(b"tEXt", CONTENTS[b"tEXt"])), b"IDAT")
    assert decode_image(data, Limits()).size == (30, 40)


@pytest.mark.parametrize("kind", [b"IHDR", b"PLTE", b"tRNS"])
def test_a_damaged_chunk_that_the_pixels_need_is_named(kind: bytes) -> None:
    data = encoded("PNG", (40, 30), "P", transparency=3)
    start = data.index(kind) - 4
    stop = start + 12 + int.from_bytes(data[start : start + 4], "big")
    with pytest.raises(InvalidImage, match=f"the checksum of its chunk {kind.decode()} is wrong"):
        decode_image(data[:start] + damaged(data[start:stop]) + data[stop:], Limits())


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_png_with_damaged_pixels_is_still_refused(at: int) -> None:
    data = bytearray(save(Image.effect_noise((90, 70), 60), "PNG"))
    start = data.index(b"IDAT") + 4
    data[start + at * 1_000 + 20] ^= 0x40
    with pytest.raises(InvalidImage, match="truncated or damaged"):
        decode_image(bytes(data), Limits())


def test_damaged_chunks_are_counted() -> None:
    head, *rest = _chunks_of(encoded("PNG", (40, 30)))
    wrong, start = damaged(chunk(b"tEXt", b"a\0b")), time.thread_time()
    assert decode_image(png(head, wrong * 20_000, *rest), Limits()).size == (40, 30)
    with pytest.raises(ImageTooLarge, match="too many parts; at most 60,000"):
        decode_image(png(head, wrong * 60_001, *rest), Limits())
    assert time.thread_time() - start < 1, "CPU seconds"


def test_the_copy_without_damaged_chunks_is_estimated() -> None:
    head, *rest = _chunks_of(encoded("PNG", (40, 30)))
    whole, wrong = (png(head, each, *rest) for each in (rest[0][:0], damaged(chunk(b"prVt", bytes(1_000_000)))))
    assert read_header(wrong, Limits()).opening_bytes - read_header(whole, Limits()).opening_bytes >= 2_000_000


def _chunks_of(data: bytes) -> list[bytes]:
    chunks, at = [], 8
    while at < len(data):
        stop = at + 12 + int.from_bytes(data[at : at + 4], "big")
        chunks.append(data[at:stop])
        at = stop
    return chunks


@pytest.mark.parametrize("options", [{}, {"restart_marker_rows": 1}, {"subsampling": 0}, {"optimize": True}], ids=str)
@pytest.mark.parametrize("tail", [b"", b"\xff", bytes(500), b"\xff" * 50, b"\r\n--boundary--\r\n"])
def test_a_jpeg_in_one_scan_needs_no_end_marker(options: dict[str, object], tail: bytes) -> None:
    data = save(Image.effect_noise((200, 150), 60).convert("RGB"), "JPEG", **options)
    assert decode_image(data[:-2] + tail, Limits()) == decode_image(data, Limits())


@pytest.mark.parametrize("tail", [b"", b"\xff", bytes(500)])
def test_a_jpeg_in_several_scans_without_an_end_marker_is_refused_with_the_reason(tail: bytes) -> None:
    """Nothing else shows whether its last scan is whole."""
    data = encoded("JPEG", (200, 150), "RGB", progressive=True)
    assert Image.open(io.BytesIO(data)).info["progressive"]
    with pytest.raises(InvalidImage, match="a JPEG in several scans without an end marker"):
        decode_image(data[:-2] + tail, Limits())
