"""AVIF frames: their pixels are counted in the AV1 streams, whatever the container declares."""

from __future__ import annotations

import io
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from model.errors import ImageTooLarge, InvalidImage
from model.images.avif import MAX_ITEMS, MAX_PARTS, coded_pixels
from model.images.decode import decode_image
from model.images.limits import Limits
from tests.image_files import avif, box, moving_frame, moving_sequence, obu, save, still_sequence

STILL = still_sequence(640, 480) + obu(6, "0" * 800)


def drawn(mode: str, edge: int = 64) -> Image.Image:
    grey = Image.linear_gradient("L").resize((edge, edge))
    return Image.merge("RGBA", [grey, grey.rotate(90), grey, grey]).convert(mode)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("options", [{}, {"subsampling": "4:4:4"}, {"quality": 100}, {"tile_rows": 1}], ids=str)
def test_frames_of_valid_files_are_counted(mode: str, options: dict[str, object]) -> None:
    data = save(drawn(mode), "AVIF", speed=10, **options)
    assert coded_pixels(data) == 64 * 64 * (2 if mode == "RGBA" else 1)
    assert decode_image(data, Limits()).size == (64, 64)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_the_first_frame_of_an_animation_is_counted(mode: str) -> None:
    frames = [drawn(mode).rotate(10 * turn) for turn in range(3)]
    data = save(frames[0], "AVIF", speed=10, save_all=True, append_images=frames[1:])
    assert b"moov" in data and coded_pixels(data) == 64 * 64 * (2 if mode == "RGBA" else 1)
    assert decode_image(data, Limits()).size == (64, 64)


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("pieces", [1, 2, 7])
def test_streams_are_found_at_any_position(pieces: int, inside: bool) -> None:
    assert coded_pixels(avif(STILL, STILL, pieces=pieces, inside=inside)) == 2 * 640 * 480


def test_frames_that_are_not_shown_are_counted() -> None:
    frames = moving_frame(own_size=False) * 5
    assert coded_pixels(avif(moving_sequence(640, 480) + frames)) == 5 * 640 * 480


def test_a_frame_with_a_size_of_its_own_is_counted_as_the_largest() -> None:
    with pytest.raises(ImageTooLarge, match="4,294,967,296 pixels"):
        decode_image(avif(moving_sequence(64, 64) + moving_frame(own_size=True)), Limits())


def test_the_size_in_the_stream_counts_not_the_declared_one() -> None:
    limits = Limits(max_pixels_of={"AVIF": 2_048})
    data = save(drawn("L"), "AVIF", speed=10).replace(b"\0\0\0\x40" * 2, b"\0\0\0\x10" * 2)
    assert Image.open(io.BytesIO(data)).size == (16, 16)
    assert decode_image(data, limits).size == (16, 16)
    with pytest.raises(ImageTooLarge, match="4,096 pixels together"):
        decode_image(data, Limits(max_pixels_of={"AVIF": 2_000}))


@pytest.mark.parametrize("stream", [b"", bytes(90), obu(6, "0" * 90), STILL[5:]])
def test_a_stream_without_a_sequence_header_is_refused(stream: bytes) -> None:
    with pytest.raises(InvalidImage, match="sequence header"):
        decode_image(avif(stream), Limits())


@pytest.mark.parametrize("data", [avif(), avif(still_sequence(640, 480)), avif(STILL)[:16]])
def test_a_file_without_a_frame_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidImage, match="damaged"):
        coded_pixels(data)


MANY = {
    "items": avif(*[STILL] * (MAX_ITEMS + 1)),
    "units": avif(still_sequence(8, 8) + obu(15, "0" * 8) * MAX_PARTS),
    "pieces": avif(STILL * 999, pieces=MAX_PARTS),
    "pieces of no bytes": box(b"ftyp", b"avif") + box(b"meta", bytes(4), box(b"iloc", bytes(6), b"\xff" * 9_000)),
    "items without pieces": box(b"ftyp", b"avif")
    + box(b"meta", bytes(4), box(b"iloc", b"\2", bytes(5), b"\xff" * 4, bytes(3_000_000))),
    "boxes": avif(STILL) + box(b"free") * 1_000_000,
    "boxes in boxes": avif(STILL) + box(b"moov", box(b"trak", box(b"trak", box(b"trak", box(b"free") * 9_000)))),
}


@pytest.mark.parametrize("data", MANY.values(), ids=MANY)
def test_too_many_parts_are_refused(data: bytes) -> None:
    start = time.thread_time()
    with pytest.raises(ImageTooLarge):
        decode_image(data, Limits())
    assert time.thread_time() - start < 0.5, "CPU seconds"


@settings(max_examples=300)
@given(st.integers(12, 300), st.binary(max_size=30))
def test_damaged_files_raise_only_documented_errors(at: int, noise: bytes) -> None:
    data = avif(STILL, moving_sequence(64, 64) + moving_frame(own_size=False), pieces=2)
    try:
        assert coded_pixels(data[:at] + noise + data[at + len(noise) :]) >= 0
    except InvalidImage as exc:
        assert str(exc).startswith(("the image", "a "))
