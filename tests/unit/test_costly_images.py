"""Valid files that cost too much are refused before they do; the largest that are allowed are read in little memory."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from model import flatten
from model.errors import ImageTooLarge
from model.images import Limits, decode_image
from model.tiff import MAX_PARTS, check_directory
from tests.hostile import COSTLY, LARGE, grey_tiff, tiff
from tests.samples import encoded

DECODE_SIZE = 448
"""As the shipped model has it."""

_READ = f"""
import resource, sys
from model.images import Limits, decode_image
data = sys.stdin.buffer.read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
decode_image(data, Limits(), {DECODE_SIZE})
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("make", COSTLY.values(), ids=COSTLY)
def test_costly_files_are_refused_before_they_cost(make: Callable[[], bytes]) -> None:
    data = make()
    assert len(data) < 9_900_000, "it travels in a message"
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.thread_time()
    with pytest.raises(ImageTooLarge):
        decode_image(data, Limits(), DECODE_SIZE)
    assert time.thread_time() - start < 2, "CPU seconds"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150_000, "KB more than ever before"


@pytest.mark.parametrize("make", LARGE.values(), ids=LARGE)
def test_the_largest_that_are_allowed_are_read_in_200_mb(root: Path, make: Callable[[], bytes]) -> None:
    done = subprocess.run([sys.executable, "-c", _READ], cwd=root, input=make(), capture_output=True, check=True)
    assert int(done.stdout) < 260_000, "KB"


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("parts", [MAX_PARTS, MAX_PARTS + 1])
def test_strips_are_counted_in_either_byte_order(order: str, parts: int) -> None:
    data = tiff(grey_tiff(8, 8, 1, (273, 3, parts, 1000)), b"", order)
    if parts > MAX_PARTS:
        with pytest.raises(ImageTooLarge, match="65,537 strips"):
            check_directory(data, 100)
    else:
        check_directory(data, 100)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"]), st.binary(max_size=200))
def test_a_damaged_directory_is_left_to_pillow(head: bytes, noise: bytes) -> None:
    try:
        check_directory(head + noise, 1_000_000)
    except ImageTooLarge as exc:
        assert "allowed" in str(exc)


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
    assert flatten.flatten(image, 100).getpixel((5, 5)) == (255, 255, 255)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.0, 200.0), (-5.0, 900.0)])
def test_deep_images_are_the_same_in_bands(low: float, high: float, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = Image.fromarray(np.linspace(low, high, 30 * 40, dtype=np.float32).reshape(30, 40))
    whole = np.asarray(flatten.flatten(deep, None))
    monkeypatch.setattr(flatten, "_BAND", 1)
    assert (np.asarray(flatten.flatten(deep, None)) == whole).all()
