"""Makes small videos with PyAV. Without PyAV the tests are skipped, and fail under CI."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

from PIL import Image

from tests.conftest import absent

SIZE = 64, 48
_MS = Fraction(1, 1000)


def library() -> Any:
    try:
        import av
    except ImportError:
        absent("PyAV is not installed: pip install av")
    return av


def brightness(number: int) -> int:
    """The grey of the frame with this number, counted from 0: far from its neighbours'."""
    return number * 16 % 256


def write_video(path: Path, times_ms: Iterable[int], codec: str = "mpeg4", **options: str) -> Path:
    """Write a video with a frame at each of these times, each of one grey, and white in its left upper quarter."""
    av = library()
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = _MS
        for number, time in enumerate(times_ms):
            image = Image.new("L", SIZE, brightness(number))
            image.paste(255, (0, 0, SIZE[0] // 2, SIZE[1] // 2))
            frame = av.VideoFrame.from_image(image.convert("RGB"))
            frame.pts, frame.time_base = time, _MS
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
