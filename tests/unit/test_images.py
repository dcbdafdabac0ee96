"""Image decoding: accepted formats, their pixels, and refusals with their messages."""

from __future__ import annotations

import csv
import io
import itertools
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from model.errors import ImageTooLarge, InvalidImage, UnsupportedFormat
from model.images.decode import FORMATS, decode_image
from model.images.jpeg import read_jpeg
from model.images.limits import Limits
from tests.hostile import archived
from tests.samples import BAD_IMAGES, encoded, png_header

SERVED = {*FORMATS, "MPO"}


def save(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_on_the_list_is_read(format: str) -> None:
    image = decode_image(encoded(format, (40, 30), "RGB"), Limits())
    assert image.size == (40, 30)
    expected = np.asarray(Image.linear_gradient("L").resize((40, 30)).convert("RGB"), dtype=int)
    assert np.abs(np.asarray(image.convert("RGB"), dtype=int) - expected).mean() < 4


@pytest.mark.parametrize(("data", "code"), BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_bad_images_are_refused(data: bytes, code: str) -> None:
    kinds = {"invalid_image": InvalidImage, "image_too_large": ImageTooLarge, "unsupported_format": UnsupportedFormat}
    with pytest.raises(InvalidImage) as caught:
        decode_image(data, Limits())
    assert type(caught.value) is kinds[code]


def test_an_empty_image_says_so() -> None:
    with pytest.raises(InvalidImage, match="empty"):
        decode_image(b"", Limits())


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(max_bytes=100), r"bytes; at most 100 are allowed"),
        (Limits(max_pixels=99), r"100x100 pixels; at most 99"),
    ],
)
def test_exceeded_limits_are_named(limits: Limits, words: str) -> None:
    with pytest.raises(ImageTooLarge, match=words):
        decode_image(encoded(size=(100, 100)), limits)


def test_pixel_limits_are_per_format() -> None:
    limits = Limits(max_pixels=10, max_pixels_of={"JPEG": 10_000})
    assert decode_image(encoded("JPEG", (100, 100)), limits).size == (100, 100)
    with pytest.raises(ImageTooLarge, match="for PNG"):
        decode_image(encoded("PNG", (100, 100)), limits)


def test_a_jpeg_of_many_scans_is_refused_by_count() -> None:
    data = encoded("JPEG", (64, 64), "RGB", progressive=True)
    assert decode_image(data, Limits()).size == (64, 64)
    head, tail = data[:-2], data[-2:]
    scan = head[head.rindex(b"\xff\xda") :]
    with pytest.raises(ImageTooLarge, match=r"1\d\d scans"):
        decode_image(head + scan * 100 + tail, Limits())


def test_bytes_that_resemble_a_scan_are_not_counted() -> None:
    """Phones put a video after a photo, and a thumbnail into it."""
    thumbnail = Image.Exif()
    thumbnail[0x10E] = "FF" * 500
    photo = encoded("JPEG", (640, 480), "RGB", exif=thumbnail.tobytes().replace(b"FF", b"\xff\xda"))
    assert photo.count(b"\xff\xda") > 500 and read_jpeg(photo).scans == 1
    assert decode_image(photo + b"\xff\xda" * 1_000_000, Limits()).size == (640, 480)


def test_scans_are_counted_at_any_position() -> None:
    """Behind empty segments, padding, and bytes that mean nothing, as libjpeg skips them."""
    data = encoded("JPEG", (64, 64), "RGB", progressive=True)
    count, last = data.count(b"\xff\xda"), data[data.rindex(b"\xff\xda") : -2]
    for between in (b"", b"\xff\xe0\0\0", b"\xff\xff\xff", b"noise\xff\0\xff\xd3", b"\xff\xfe\0\4\xff\xd9"):
        assert read_jpeg(data[:-2] + (between + last) * 3 + data[-2:]).scans == count + 3
    with pytest.raises(ImageTooLarge, match="too many segments"):
        read_jpeg(data[:-2] + b"\xff\xe0\0\2" * 60_000 + data[-2:])


def test_padding_is_skipped_quickly() -> None:
    """Every byte could begin a marker, but no marker follows."""
    data = encoded("JPEG", (64, 64), "RGB")
    start = time.thread_time()
    assert decode_image(data[:-2] + b"\xff" * 40_000 + b"\0" + data[-2:], Limits()).size == (64, 64)
    assert time.thread_time() - start < 0.5, "CPU seconds"


def test_decoding_stops_when_its_time_is_up() -> None:
    data = encoded("JPEG", (3000, 3000), "RGB", quality=100)
    with pytest.raises(ImageTooLarge, match="longer than"):
        decode_image(data, Limits(max_seconds=0.0))


def test_a_pause_of_the_machine_does_not_count_as_decoding_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be answered with an error on one worker and with predictions on another."""
    monkeypatch.setattr(time, "monotonic", itertools.count(0.0, 1000.0).__next__)
    monkeypatch.setattr(time, "perf_counter", itertools.count(0.0, 1000.0).__next__)
    assert decode_image(encoded("JPEG", (300, 300), "RGB"), Limits()).size == (300, 300)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_photos_is_applied(orientation: int) -> None:
    upright = Image.new("L", (30, 20), 0)
    upright.paste(255, (0, 0, 10, 10))  # a light corner, top left
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = upright.transpose(Image.Transpose(undo[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = decode_image(save(stored, "JPEG", exif=exif, quality=95), Limits())
    assert image.size == (30, 20)
    assert int(np.asarray(image)[5, 5]) > 200
    assert int(np.asarray(image)[15, 25]) < 50


@pytest.mark.parametrize("compressed", [False, True])
def test_the_orientation_in_a_text_chunk_of_a_png_is_applied(compressed: bool) -> None:
    """ImageMagick writes it so."""
    exif = Image.Exif()
    exif[0x0112] = 6
    body = exif.tobytes()
    text = f"\nexif\n{len(body):8}\n" + "\n".join(body.hex()[at : at + 72] for at in range(0, 2 * len(body), 72)) + "\n"
    texts = PngInfo()
    texts.add_text("Raw profile type exif", text, zip=compressed)
    assert decode_image(encoded("PNG", (40, 20), pnginfo=texts), Limits()).size == (20, 40)
    texts.add_text("Raw profile type exif", "no numbers", zip=compressed)
    assert decode_image(encoded("PNG", (40, 20), pnginfo=texts), Limits()).size == (40, 20)


def test_transparency_is_blended_with_white() -> None:
    clear = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    half = Image.new("LA", (4, 4), (0, 128))
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    assert decode_image(save(clear, "PNG"), Limits()).getpixel((0, 0)) == (255, 255, 255)
    assert decode_image(save(half, "PNG"), Limits()).getpixel((0, 0)) == (127, 127, 127)
    assert decode_image(save(palette, "PNG", transparency=1), Limits()).getpixel((0, 0)) == (255, 255, 255)
    assert decode_image(save(palette, "PNG"), Limits()).getpixel((0, 0)) == (10, 20, 30)


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    deep = Image.fromarray(np.linspace(0, 65535, 256, dtype=np.uint16).reshape(16, 16))
    shallow = np.asarray(decode_image(save(deep, "PNG"), Limits())).ravel()
    assert shallow.tolist() == list(range(256))


def test_cmyk_is_read_as_colour() -> None:
    red = decode_image(save(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=95), Limits())
    pixel = red.getpixel((4, 4))
    assert isinstance(pixel, tuple)
    assert pixel[0] > 200 and max(pixel[1:]) < 60


def test_a_gif_gives_its_first_frame() -> None:
    frames = [Image.new("L", (5, 5), value) for value in (200, 10)]
    data = save(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode_image(data, Limits()).convert("L").getpixel((0, 0)) == 200


def test_a_large_jpeg_is_decoded_at_a_reduced_size() -> None:
    data = encoded("JPEG", (2000, 1600), "RGB")
    assert decode_image(data, Limits(), decode_size=300).size == (500, 400)
    assert decode_image(data, Limits()).size == (2000, 1600)


def test_unusual_valid_files_are_read(shared_data: Path) -> None:
    folder = shared_data / "awkward"
    with (folder / "manifest.csv").open() as file:
        served = [row for row in csv.DictReader(file) if row["format"] in SERVED]
    assert len(served) > 80
    refused = {}
    for row in served:
        try:
            image = decode_image((folder / row["file"]).read_bytes(), Limits())
        except InvalidImage as exc:
            refused[row["file"]] = str(exc)
            continue
        assert image.mode in {"L", "RGB"}
        assert sorted(image.size) == sorted((int(row["width"]), int(row["height"]))), row
    assert refused == {}


def test_hostile_files_are_refused_in_time_with_our_own_message(shared_data: Path) -> None:
    codes: dict[str, int] = {}
    slowest = 0.0
    for _, data in archived(shared_data):
        start = time.process_time()
        try:
            decode_image(data, Limits(), 448)
            outcome = "read"
        except InvalidImage as exc:
            outcome = type(exc).__name__
        slowest = max(slowest, time.process_time() - start)
        codes[outcome] = codes.get(outcome, 0) + 1
    assert sum(codes.values()) > 4000
    assert set(codes) == {"read", "InvalidImage", "ImageTooLarge", "UnsupportedFormat"}
    assert slowest < 2, "CPU seconds for one file"


@settings(max_examples=150)
@given(st.binary(max_size=300), st.sampled_from(FORMATS), st.integers(0, 400))
def test_damaged_files_raise_only_documented_errors(noise: bytes, format: str, at: int) -> None:
    data = encoded(format, (20, 20), "RGB")
    at = min(at, len(data))
    try:
        image = decode_image(data[:at] + noise + data[at + len(noise) :], Limits(max_pixels=1_000_000))
    except InvalidImage:
        return
    assert image.mode in {"L", "RGB"}


def test_a_header_without_data_allocates_no_pixels() -> None:
    with pytest.raises(ImageTooLarge):
        decode_image(png_header(9000, 9000), Limits())
