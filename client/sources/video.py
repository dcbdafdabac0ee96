"""The frames of a video as images: one for each period, encoded while the video is decoded."""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

from client.gcp import UsageError
from client.images import ImageFile
from client.text import printable
from client.transport.base import cut
from model.text import reason

QUALITY = 95
"""Quality of JPEG frames: Pillow's highest without wasting bytes."""

_NAME_BYTES = 200
"""Bytes of the video's name in a request id, which has 256 at most."""

_NO_VIDEOS = ("tty", "image2", "_pipe")
"""Ends of the names of formats by which FFmpeg reads texts and single images as videos."""

_CUT_S = 1
"""Seconds that a video may be shorter than it states: sound and the last frame may end a little later."""


def library() -> Any:
    """Return PyAV. Raises UsageError where it is not installed."""
    try:
        import av
    except ImportError:
        raise UsageError("frames decodes videos with PyAV, which is not installed: pip install av") from None
    return av


@dataclass(frozen=True, slots=True)
class Cut:
    """Which frames are taken: the first at or after `start` and each further period, before `end`, at most `limit`.

    Times are in whole milliseconds from the first frame.
    """

    every_ms: int
    start_ms: int = 0
    end_ms: int | None = None
    limit: int | None = None
    form: str = "jpeg"


@dataclass(frozen=True, slots=True)
class Frame(ImageFile):
    """An image whose bytes are in memory while it is being sent. `path` names the video and the time."""

    data: dict[str, bytes] = field(default_factory=dict, compare=False, repr=False)

    def size(self) -> int:
        return len(self.read())

    def read(self) -> bytes:
        try:
            return self.data[self.request_id]
        except KeyError:
            raise OSError(None, "the frame is no longer in memory") from None

    def open(self) -> BinaryIO:
        return io.BytesIO(self.read())


class Video:
    """The frames of a video file. Raises UsageError when it is none.

    `salt` distinguishes the request ids from those of other jobs. While `images` runs it fills `problems`.
    """

    is_listing = is_streamed = True

    def __init__(self, path: Path, cut: Cut, salt: str) -> None:
        self._path, self._cut, self._salt = path, cut, salt
        self.problems: list[str] = []
        self.left_out: Counter[str] = Counter()
        with self._opened():
            pass

    def images(self) -> Iterator[Frame]:
        """Yield the frames in their order. Each loses its bytes when the next one is asked for."""
        count = 0
        suffix = "jpg" if self._cut.form == "jpeg" else "png"
        for ms, image in self._chosen():
            name = f"{self._path.name}@{clock(ms)}.{suffix}"
            key = f"{cut(self._path.name, _NAME_BYTES)}@{clock(ms)}-{self._salt[:8]}"
            frame = Frame(self._path.with_name(name), name, key, {key: self._encoded(image)})
            yield frame
            frame.data.clear()
            count += 1
            if count == self._cut.limit:
                return
        if not count and not self.problems:
            self.problems.append(f"{self._shown()} has no frame in this time")

    def _chosen(self) -> Iterator[tuple[int, Any]]:
        """Yield the time in milliseconds and the decoded frame of each that is taken."""
        every, start, end = self._cut.every_ms, self._cut.start_ms, self._cut.end_ms
        next_ms = start
        for at, frame in self._decoded():
            ms = int(at * 1000)
            if end is not None and ms >= end:
                return
            if ms >= next_ms and not frame.is_corrupt:
                yield ms, frame
                next_ms = start + ((ms - start) // every + 1) * every

    def _decoded(self) -> Iterator[tuple[Fraction, Any]]:
        """Yield each frame with its time in seconds from the first one. Notes where the video breaks off."""
        first, at, length = None, Fraction(0), Fraction(0)
        with self._opened() as container:
            stream = _stream(container)
            stream.thread_type = "AUTO"
            step = 1 / Fraction(stream.average_rate or 25)
            try:
                for frame in container.decode(stream):
                    if frame.pts is not None:
                        stated = frame.pts * frame.time_base
                        first = stated if first is None else first
                        at = stated - first
                    yield at, frame
                    length = at + step
                    at = length  # for a frame without a time
            except (library().FFmpegError, ValueError) as exc:
                self._note_break(length, _why(exc))
                return
            if stream.duration and (stated := stream.duration * stream.time_base) > length + _CUT_S:
                self._note_break(length, f"its length is stated as {clock(int(stated * 1000))}")

    def _note_break(self, at: Fraction, why: str) -> None:
        shown = f"{self._shown()} breaks off at {clock(int(at * 1000))}: {why}"
        self.problems.append(f"{shown[:250]}; the frames before are sent")

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        """Open the file, and no other file or address that it may name."""
        av = library()
        if not self._path.is_file():
            raise UsageError(f"{self._shown()} is no file")
        try:
            name = f"file:{os.path.abspath(self._path)}"
            container = av.open(name, metadata_errors="ignore", options={"protocol_whitelist": "file"})
        except (av.FFmpegError, OSError, ValueError) as exc:
            raise UsageError(f"{self._shown()} is no video that can be read: {_why(exc)}") from None
        with container:
            if container.format.name.endswith(_NO_VIDEOS) or _stream(container) is None:
                raise UsageError(f"{self._shown()} is no video")
            yield container

    def _encoded(self, frame: Any) -> bytes:
        image, data = frame.to_image(), io.BytesIO()
        if frame.rotation:  # of the display matrix, which is what a player shows
            image = image.rotate(frame.rotation, expand=True)
        image.save(data, self._cut.form, **({"quality": QUALITY} if self._cut.form == "jpeg" else {}))
        return data.getvalue()

    def _shown(self) -> str:
        return printable(str(self._path))[:120]


def _why(exc: Exception) -> str:
    text = getattr(exc, "strerror", None) or reason(exc)
    return printable(text[:1].lower() + text[1:])


def _stream(container: Any) -> Any:
    """Return the first video stream that is no cover of a record; None without one."""
    covers = library().stream.Disposition.attached_pic
    return next((stream for stream in container.streams.video if not stream.disposition & covers), None)


def clock(ms: int) -> str:
    """Return a time as hours, minutes and seconds: 00:01:05.000."""
    seconds, rest = divmod(ms, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest:03}"
