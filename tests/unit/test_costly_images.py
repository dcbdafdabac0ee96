"""Valid images that are costly to decode are refused early; the largest allowed ones stay within the estimate."""

from __future__ import annotations

import io
import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from model.errors import ImageTooLarge, InvalidImage, UnsupportedFormat
from model.images import normalize
from model.images.decode import decode_image
from model.images.limits import Limits
from model.images.tiff import MAX_PARTS, check_directory
from tests.fault.process_monitor import peak_kb, reset_peak
from tests.hostile import COSTLY, LARGE, exif_of_fractions
from tests.image_files import grey_tiff, tiff
from tests.samples import encoded

DECODE_SIZE = 448
"""As the shipped model has it."""

MEGABYTE = 1024
"""In KB."""


@pytest.mark.parametrize("make", COSTLY.values(), ids=COSTLY)
def test_costly_files_are_refused_before_decoding(make: Callable[[], bytes]) -> None:
    data = make()
    assert len(data) < 9_900_000, "it travels in a message"
    reset_peak()
    before, start = peak_kb(), time.thread_time()
    with pytest.raises(ImageTooLarge):
        decode_image(data, Limits(), DECODE_SIZE)
    assert time.thread_time() - start < 1.5, "CPU seconds"
    assert peak_kb() - before < 100 * MEGABYTE


@pytest.mark.parametrize("make", LARGE.values(), ids=LARGE)
def test_the_largest_allowed_images_take_less_memory_than_estimated(make: Callable[[], bytes]) -> None:
    data = make()
    reset_peak()
    before, start = peak_kb(), time.thread_time()
    assert min(decode_image(data, Limits(), DECODE_SIZE).size) >= min(DECODE_SIZE, *Image.open(io.BytesIO(data)).size)
    assert time.thread_time() - start < 1.5, "CPU seconds"
    assert peak_kb() - before < 220 * MEGABYTE


def test_an_avifs_exif_is_not_read() -> None:
    """Its orientation is stored in separate boxes."""
    data = encoded("AVIF", (40, 20), "RGB", exif=exif_of_fractions().replace(b"\x12\x01", b"\x13\x01", 1))
    data, start = data.replace(b"\x13\x01\x05", b"\x12\x01\x05", 1), time.thread_time()
    assert data.count(b"\x12\x01\x05") == 1 and decode_image(data, Limits()).size == (40, 20)
    assert time.thread_time() - start < 0.5, "CPU seconds"


def test_the_orientation_of_an_avif_is_applied() -> None:
    turned = Image.Exif()
    turned[0x112] = 6
    assert decode_image(encoded("AVIF", (40, 20), "RGB", exif=turned), Limits()).size == (20, 40)


@pytest.mark.parametrize("progressive", [False, True])
def test_only_progressive_jpegs_in_a_tiff_are_refused(progressive: bool) -> None:
    """libtiff would decode up to a hundred scans in one call."""
    body = encoded("JPEG", (64, 48), progressive=progressive)
    data = tiff(grey_tiff(64, 48, 7, (273, 4, 1, 1000), (278, 4, 1, 48), (279, 4, 1, len(body))), body)
    if progressive:
        with pytest.raises(UnsupportedFormat, match="TIFF of progressive JPEGs"):
            decode_image(data, Limits())
    else:
        assert decode_image(data, Limits()).size == (64, 48)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("parts", [MAX_PARTS, MAX_PARTS + 1])
def test_strips_are_counted_in_either_byte_order(order: str, parts: int) -> None:
    data = tiff(grey_tiff(8, 8, 1, (273, 3, parts, 1000)), bytes(2 * parts), order)
    if parts > MAX_PARTS:
        with pytest.raises(ImageTooLarge, match="65,537 strips"):
            check_directory(data, Limits())
    else:
        check_directory(data, Limits())


@settings(max_examples=300)
@given(st.sampled_from([b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"]), st.binary(max_size=200))
def test_a_damaged_directory_is_left_to_pillow(head: bytes, noise: bytes) -> None:
    try:
        check_directory(head + noise, Limits())
    except InvalidImage as exc:
        assert str(exc).startswith("the image")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK"])
def test_large_images_come_small_and_look_the_same(mode: str) -> None:
    format = "TIFF" if mode == "CMYK" else "PNG"
    data = encoded(format, (2000, 1600), mode)
    small, whole = decode_image(data, Limits(), 300), decode_image(data, Limits())
    assert small.size == (400, 320) and small.mode == whole.mode
    expected = np.asarray(whole.resize(small.size, Image.Resampling.BOX), dtype=int)
    assert np.abs(np.asarray(small, dtype=int) - expected).max() <= 2


def test_a_key_colour_is_clear_in_a_large_image_too() -> None:
    image = Image.new("RGB", (1000, 1000), (10, 20, 30))
    image.info["transparency"] = (10, 20, 30)
    assert normalize.flatten(image, 100).getpixel((5, 5)) == (255, 255, 255)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.0, 200.0), (-5.0, 900.0)])
def test_deep_images_are_the_same_in_bands(low: float, high: float, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = Image.fromarray(np.linspace(low, high, 30 * 40, dtype=np.float32).reshape(30, 40))
    whole = np.asarray(normalize.flatten(deep, None))
    monkeypatch.setattr(normalize, "BAND", 1)
    assert (np.asarray(normalize.flatten(deep, None)) == whole).all()
