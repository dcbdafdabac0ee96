"""Damage that decoders ignore is refused, and a lack of memory is not reported as damage."""

from __future__ import annotations

import errno
import os
import struct
import zlib
from contextlib import suppress

import pytest
from PIL import Image

from model.errors import InvalidImage, UnsupportedFormat
from model.images.decode import decode_image
from model.images.jpeg import read_jpeg
from model.images.libtiff import check_fax
from model.images.limits import Limits
from tests.image_files import chunk, grey_tiff, jpeg, png, save, scan, tiff, tiff_of
from tests.samples import encoded

NOISE = bytes(range(7, 256, 3)) * 60


def refused(data: bytes) -> str:
    with pytest.raises(InvalidImage) as caught:
        decode_image(data, Limits(), 448)
    assert type(caught.value) is InvalidImage
    return str(caught.value)


@pytest.mark.parametrize("kind", [0xC0, 0xC1, 0xC2])
@pytest.mark.parametrize("data", [b"", b"\0", bytes(200)])
def test_a_jpeg_without_data_is_refused(kind: int, data: bytes) -> None:
    first = scan(b"\1\2\3", 0, 0 if kind == 0xC2 else 63, data)
    assert "too little data" in refused(jpeg(kind, (800, 600), 3, first))


def test_a_jpeg_in_parts_without_data_is_refused() -> None:
    scans = scan(b"\1", data=bytes(4_000)) + scan(b"\2", data=bytes(4_000)) + scan(b"\3", data=b"\0")
    assert "too little data" in refused(jpeg(0xC0, (800, 600), 3, scans))


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"restart_marker_blocks": 5}], ids=str)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_jpeg_that_ends_early_is_refused_also_with_an_end_marker(
    mode: str, options: dict[str, object], share: float
) -> None:
    whole = save(Image.effect_noise((640, 480), 60).convert(mode), "JPEG", **options)
    start = whole.rindex(b"\xff\xda") + 20
    cut = whole[: start + int(share * (len(whole) - start))].rstrip(b"\xff")
    refused(cut + b"\xff\xd9")
    refused(cut)


@pytest.mark.parametrize(
    "marker", [b"\xff\xfe\0\2", b"\xff\xe0\0\2", b"\xff\xd0", b"\xff\xd7" * 5_000, b"\xff\xd0\xff\xdd\0\4\0\7"]
)
@pytest.mark.parametrize("rest", [False, True])
def test_a_jpeg_whose_data_end_at_a_marker_is_refused(marker: bytes, rest: bool) -> None:
    """libjpeg paints what should come behind it grey."""
    whole = save(Image.effect_noise((640, 480), 60).convert("RGB"), "JPEG")
    half = len(whole) // 2
    refused(whole[:half].rstrip(b"\xff") + marker + (whole[half:] if rest else b"\xff\xd9"))


@pytest.mark.parametrize("options", [{"restart_marker_rows": 1}, {"restart_marker_blocks": 1}], ids=str)
def test_a_jpeg_with_restarts_is_read_as_without(options: dict[str, int]) -> None:
    image = Image.effect_noise((320, 200), 60).convert("RGB")
    assert decode_image(save(image, "JPEG", **options), Limits()) == decode_image(save(image, "JPEG"), Limits())


@pytest.mark.parametrize("ids", [(0, 0, 0), (1, 1, 2), (1, 2, 1), (3, 3, 3)])
@pytest.mark.parametrize("options", [{}, {"subsampling": 0}], ids=str)
def test_a_jpeg_whose_components_share_an_id_is_read(ids: tuple[int, int, int], options: dict[str, int]) -> None:
    """As libjpeg reads it: in the order in which they are there."""
    whole = bytearray(encoded("JPEG", (90, 70), "RGB", **options))
    expected, frame, scan = decode_image(bytes(whole), Limits()), whole.index(b"\xff\xc0"), whole.index(b"\xff\xda")
    for number, component in enumerate(ids):
        whole[frame + 10 + 3 * number] = whole[scan + 5 + 2 * number] = component
    assert decode_image(bytes(whole), Limits()) == expected


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("size", [(1, 1), (7, 9), (640, 481)])
def test_a_whole_jpeg_is_read_with_and_without_its_end_marker(mode: str, size: tuple[int, int]) -> None:
    whole = encoded("JPEG", size, mode)
    expected = decode_image(whole, Limits())
    assert expected.size == size
    for data in (whole[:-2], whole[:-2] + bytes(500), whole + b"\xff\xda" * 9):
        assert decode_image(data, Limits()) == expected


def test_a_lossless_jpeg_is_read_at_full_size() -> None:
    """libjpeg decodes none at a fraction of its size. One bit a sample: each is what the one before it was."""
    data = jpeg(0xC3, (1200, 1000), 1, scan(b"\1", 1, 0, bytes(1200 * 1000 // 8)))
    assert read_jpeg(data).lossless
    assert decode_image(data, Limits(), 448).size == (600, 500)
    assert "too little data" in refused(jpeg(0xC3, (1200, 1000), 1, scan(b"\1", 1, 0, bytes(1200 * 900 // 8))))


@pytest.mark.parametrize("kind", [*range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)])
def test_other_kinds_of_jpeg_are_refused_by_name(kind: int) -> None:
    data = jpeg(kind, (64, 64), 1, scan(b"\1", data=bytes(100)))
    for each in (data, tiff_of(data, 64, 64, 7)):
        with pytest.raises(UnsupportedFormat, match=r"hierarchical|arithmetic"):
            decode_image(each, Limits())


def test_segments_that_contradict_each_other_are_refused() -> None:
    one, other = (jpeg(0xC0, (64, 64), 1, b"")[:-2], jpeg(0xC0, (4_000, 4_000), 1, scan(b"\1", data=bytes(100)))[2:])
    assert "two frames" in refused(one + other)


@pytest.mark.parametrize("cut", [1, 5])
def test_a_restart_hides_no_scan(cut: int) -> None:
    """A reserved marker has no segment: libjpeg looks for the next marker right behind it."""
    hidden = scan(b"\1", data=bytes(99) + b"\xff\x02" + b"\xff" * cut)
    data = jpeg(0xC0, (64, 64), 3, hidden + scan(b"\2", data=bytes(99)) + scan(b"\3", data=bytes(99)))
    assert read_jpeg(data).scans == 3


def png_of_rows(colour: int, depth: int, size: tuple[int, int], interlace: bool, share: float) -> bytes:
    """A PNG whose stream of pixels ends, properly, after a share of its bytes."""
    width, height = size
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    passes = PASSES if interlace else [(0, 0, 1, 1)]
    sizes = [(-(-(width - left) // across), -(-(height - top) // down)) for left, top, across, down in passes]
    rows = [b"\0" + b"\x37" * -(-columns * bits // 8) for columns, count in sizes if columns > 0 for _ in range(count)]
    pixels = b"".join(rows)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))
    palette = chunk(b"PLTE", bytes(range(256)) * 3) if colour == 3 else b""
    body = zlib.compress(pixels[: int(share * len(pixels))])
    return png(head, palette, chunk(b"IDAT", body[:9]), chunk(b"IDAT", body[9:]), chunk(b"IEND", b""))


PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
DEPTHS = [(0, 1), (0, 2), (0, 8), (0, 16), (2, 8), (2, 16), (3, 1), (3, 4), (3, 8), (4, 8), (4, 16), (6, 8), (6, 16)]


@pytest.mark.parametrize("interlace", [False, True])
@pytest.mark.parametrize(("colour", "depth"), DEPTHS)
def test_a_png_without_some_of_its_rows_is_refused(colour: int, depth: int, interlace: bool) -> None:
    for size in ((200, 90), (33, 41), (1, 40), (40, 1), (3, 2), (1, 1)):
        assert decode_image(png_of_rows(colour, depth, size, interlace, 1.0), Limits()).size == size
        for share in (0.0, 0.5, 0.999):
            refused(png_of_rows(colour, depth, size, interlace, share))


@pytest.mark.parametrize("colour", [0, 1, 90, 255])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_a_png_of_one_colour_is_read(mode: str, colour: int) -> None:
    """Also the colour of pixels where nothing was written."""
    image = Image.new(mode, (60, 50), colour if len(mode) < 2 or mode == "I;16" else (colour,) * len(mode))
    assert decode_image(save(image, "PNG"), Limits()).size == (60, 50)


def test_a_frame_that_covers_a_part_is_read() -> None:
    frames = [Image.new("RGB", (30, 20), "red"), Image.new("RGB", (30, 20), "blue")]
    data = save(frames[0], "PNG", save_all=True, append_images=frames[1:])
    at = data.index(b"fcTL")
    head = data[at : at + 8] + struct.pack(">IIII", 20, 20, 10, 0) + data[at + 24 : at + 30]
    part = save(Image.new("RGB", (20, 20), "red"), "PNG")
    body = part[part.index(b"IDAT") - 4 : part.index(b"IEND") - 4]
    data = data[: at - 4] + chunk(head[:4], head[4:]) + body + data[data.index(b"fcTL", at + 9) - 4 :]
    image = decode_image(data, Limits())
    assert image.getpixel((0, 0)) == (0, 0, 0) and image.getpixel((29, 19)) == (255, 0, 0)


@pytest.mark.parametrize("compression", [2, 3, 4])
@pytest.mark.parametrize("body", [NOISE, bytes(5), bytes(4_000), b"\0\1" * 9], ids=["noise", "few", "zeros", "short"])
def test_a_fax_of_garbage_is_refused(compression: int, body: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    plain = [entry for entry in grey_tiff(200, 100, compression) if entry[0] != 258]
    strip = (258, 3, 1, 1), (273, 4, 1, 1000), (278, 4, 1, 100), (279, 4, 1, len(body))
    refused(tiff([*plain, *strip], body))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("call", ["memfd_create", "write"])
def test_running_out_of_file_descriptors_is_not_an_invalid_image(
    call: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    fax = encoded("TIFF", (300, 200), "1", compression="group4")
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match=os.strerror(code)):
        decode_image(fax, Limits())


def test_fax_decoding_closes_its_files() -> None:
    fax = encoded("TIFF", (300, 200), "1", compression="group4")
    before = sorted(os.listdir("/proc/self/fd"))
    for data in (fax, fax[:300], b"no TIFF", b"II*\0\0\0\0\0"):
        with suppress(InvalidImage):
            check_fax(data)
    assert sorted(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt", "tiff_lzw", "tiff_adobe_deflate", "jpeg"])
def test_good_tiffs_are_read(compression: str) -> None:
    mode = "L" if compression == "jpeg" else "1"
    assert decode_image(encoded("TIFF", (300, 200), mode, compression=compression), Limits()).size == (300, 200)


@pytest.mark.parametrize("compression", [5, 8, 32946, 34925, 50000])
def test_libtiff_says_nothing_on_stderr(compression: int, capfd: pytest.CaptureFixture[str]) -> None:
    refused(tiff_of(NOISE, 64, 48, compression))
    assert capfd.readouterr() == ("", "")


def test_a_damaged_tiff_affects_no_other_image() -> None:
    refused(tiff_of(NOISE, 64, 48, 5))
    assert decode_image(encoded("TIFF", (64, 48), compression="tiff_lzw"), Limits()).size == (64, 48)


def test_a_jpeg_without_data_in_a_tiff_is_refused() -> None:
    assert "too little data" in refused(tiff_of(jpeg(0xC0, (800, 600), 1, scan(b"\1")), 800, 600, 7))


def test_a_tiff_that_contradicts_itself_is_refused() -> None:
    twice = tiff([*grey_tiff(64, 48, 1, (273, 4, 1, 1000)), (256, 4, 1, 32)], bytes(64 * 48))
    assert "two values for tag 256" in refused(twice)


@pytest.mark.parametrize(
    "wrong", [(277, 3, 1, 60_000), (258, 4, 1, 4_000_000_000), (278, 4, 1, 4_000_000_000)], ids=str
)
def test_a_strip_of_too_many_bytes_is_refused(wrong: tuple[int, int, int, int]) -> None:
    plain = [each for each in grey_tiff(4_000, 4_000, 5) if each[0] != wrong[0]]
    strip = [each for each in ((273, 4, 1, 1000), (278, 4, 1, 4_000), (279, 4, 1, 90)) if each[0] != wrong[0]]
    with pytest.raises(InvalidImage):
        decode_image(tiff([*plain, *strip, wrong], bytes(90)), Limits(), 448)


def test_values_of_a_directory_are_counted_of_any_type() -> None:
    """Bytes are numbers too where libtiff wants numbers."""
    many = tiff([*grey_tiff(64, 48, 7), (273, 1, 70_000, 1000), (279, 1, 70_000, 1000)], struct.pack("<B", 9) * 70_000)
    with pytest.raises(InvalidImage, match="70,000 strips"):
        decode_image(many, Limits())
