"""Prefix codes of lossless WebPs: they are counted, too many are refused, and valid files are read."""

from __future__ import annotations

import time

import pytest
from PIL import Image

from model.errors import ImageTooLarge, InvalidImage
from model.images.decode import decode_image
from model.images.limits import Limits
from model.images.webp import MAX_GROUPS, prefix_code_bytes
from tests.image_files import save, webp_of_groups

GROUP_BYTES = 600 + 4 * 2_956


def photo(mode: str, edge: int = 600) -> Image.Image:
    grey = Image.linear_gradient("L").resize((edge, edge))
    bands = [grey, grey.rotate(90), grey.effect_spread(20), Image.radial_gradient("L").resize((edge, edge))]
    return Image.merge("RGBA", bands).convert(mode)


@pytest.mark.parametrize("groups", [1, 2, 300, MAX_GROUPS])
def test_groups_of_prefix_codes_are_counted(groups: int) -> None:
    data = webp_of_groups(64, groups)
    assert prefix_code_bytes(data) == groups * GROUP_BYTES
    assert decode_image(data, Limits()).size == (256, 256)


def test_too_many_groups_are_refused() -> None:
    with pytest.raises(ImageTooLarge, match="2,601 groups"):
        decode_image(webp_of_groups(64, MAX_GROUPS + 1), Limits())


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
@pytest.mark.parametrize("method", [0, 3, 6])
def test_lossless_webps_are_read(mode: str, method: int) -> None:
    data = save(photo(mode), "WEBP", lossless=True, method=method, quality=5 * method)
    assert 0 < prefix_code_bytes(data) < 10_000_000
    assert decode_image(data, Limits()).size == (600, 600)


def test_lossless_transparency_of_a_lossy_webp_is_counted() -> None:
    assert 0 < prefix_code_bytes(save(photo("RGBA"), "WEBP", quality=50)) < 10_000_000
    assert prefix_code_bytes(save(photo("RGB"), "WEBP", quality=50)) == 0


def test_the_first_frame_of_an_animation_is_counted() -> None:
    frames = [photo("RGBA"), photo("RGBA").rotate(5)]
    data = save(frames[0], "WEBP", lossless=True, method=0, save_all=True, append_images=frames[1:])
    assert b"ANMF" in data and 0 < prefix_code_bytes(data) < 10_000_000
    assert decode_image(data, Limits()).size == (600, 600)


def test_a_small_webp_is_counted_without_being_read() -> None:
    assert prefix_code_bytes(save(photo("RGB", 28), "WEBP", lossless=True)) == 49 * (GROUP_BYTES + 4 * 2_048)


@pytest.mark.parametrize("share", [0.001, 0.01, 0.1])
def test_a_webp_that_ends_before_its_pixels_is_refused(share: float) -> None:
    data = webp_of_groups(64, MAX_GROUPS)
    with pytest.raises(InvalidImage):
        decode_image(data[: int(share * len(data))], Limits())


def test_random_bytes_are_refused() -> None:
    noise = Image.effect_noise((200, 200), 90).tobytes()
    good = webp_of_groups(64, 500)
    for at in range(25, 400, 7):
        try:
            assert prefix_code_bytes(good[:at] + noise[at:] + good) >= 0
        except InvalidImage:
            continue


def test_many_chunks_are_refused_quickly() -> None:
    data = webp_of_groups(8, 1)
    data, start = data[:12] + b"\0" * 8 * 1_000_000 + data[12:], time.thread_time()
    with pytest.raises(ImageTooLarge, match="too many parts"):
        decode_image(data, Limits())
    assert time.thread_time() - start < 0.5, "CPU seconds"


def test_a_second_transparency_is_refused() -> None:
    data = save(photo("RGBA"), "WEBP", quality=50)
    at, stop = data.index(b"ALPH"), data.index(b"VP8 ")
    with pytest.raises(InvalidImage):
        decode_image(data[:stop] + data[at:stop] * 100 + data[stop:], Limits())
