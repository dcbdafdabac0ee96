"""Estimates the cost of decoding a JPEG from its segments, before libjpeg or Pillow read them.

Format: ITU-T T.81, annex B. Memory: libjpeg-turbo, jdcoefct.c, which keeps all coefficients of an image with several
scans.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from model.errors import ImageTooLarge, InvalidImage, UnsupportedFormat

MAX_SEGMENTS = 60_000
"""Maximum number of segments that are read, because Python reads them one by one. A usual file has a few dozen."""

_MARKER = re.compile(rb"\xff([\xc0-\xcf\xd8-\xfe])")
"""A marker whose segment libjpeg skips or reads. libjpeg ignores escaped bytes and restarts (FF00, FFD0 to FFD7). It
ignores reserved codes below C0 or rejects the file.

The pattern matches only the last of the fill bytes before a marker. A pattern that matches all of them takes ten times
as long, and quadratic time if no marker follows.
"""

_EXIF = re.compile(rb"\xff\xe1(..)Exif\x00\x00", re.DOTALL)
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_END, _SCAN, _RESTARTS, _FIRST_APPLICATION = 0xD9, 0xDA, 0xDD, 0xE0
_SEQUENTIAL, _PROGRESSIVE, _LOSSLESS = (0xC0, 0xC1), 0xC2, 0xC3
_FOREIGN = {
    **dict.fromkeys((0xC5, 0xC6, 0xC7), "a hierarchical JPEG"),
    **dict.fromkeys((0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF), "a JPEG with arithmetic coding"),
}
"""Unsupported kinds of frames. libjpeg reads no hierarchical frames. With arithmetic coding it cannot pause for data:
it fails if the data arrive in pieces, and no time limit could interrupt it if they arrive at once.
"""


@dataclass(frozen=True, slots=True)
class Jpeg:
    """The first image of a JPEG stream.

    `coefficient_bytes` is the memory that libjpeg takes for coefficients, or for samples of a lossless image; 0 unless
    the image has several scans. `scans` is the number of scans that libjpeg decodes. `starved`: a scan has fewer bits
    than its blocks need. `end` is the offset after the image's last byte of data: before its end marker, or before the
    marker at which libjpeg ends the only scan, such as a restart that is not announced. `application_bytes` is the size
    of application segments, such as EXIF, and of comments. `segments` is the number of segments that were read.
    `lacks_end`: the stream has no end marker.
    """

    width: int
    height: int
    progressive: bool
    lossless: bool
    scans: int
    coefficient_bytes: int
    starved: bool
    end: int
    application_bytes: int
    segments: int
    lacks_end: bool

    @property
    def several_scans(self) -> bool:
        return self.coefficient_bytes > 0


def read_jpeg(data: bytes, start: int = 0, stop: int | None = None, max_segments: int = MAX_SEGMENTS) -> Jpeg:
    """Read the segments of the JPEG stream at data[start:stop], as libjpeg does, to the end of its first image.

    Scans in a thumbnail, or in the video that phones append to a photo, are not counted. Raises ImageTooLarge for too
    many segments, UnsupportedFormat for an unsupported kind of JPEG, and InvalidImage if a frame or a scan is missing.
    """
    stop = len(data) if stop is None else min(stop, len(data))
    frame: _Frame | None = None
    scans: list[_Scan] = []
    at, segments, application_bytes, restarts = start + 2, 0, 0, False
    for _ in range(max_segments):
        segments += 1
        found = _MARKER.search(data, at, stop)
        end = found.start() if found else stop
        if scans and scans[-1].stop is None:
            scans[-1].stop = end
        if not found or found[1][0] == _END:
            break
        marker, at = found[1][0], found.end() + max(2, int.from_bytes(data[found.end() : found.end() + 2], "big"))
        segment = data[found.end() + 2 : min(at, stop)]
        if marker in _FOREIGN:
            raise UnsupportedFormat(
                f"the image is {_FOREIGN[marker]}; allowed are baseline, progressive and lossless JPEGs"
            )
        if marker in (*_SEQUENTIAL, _PROGRESSIVE, _LOSSLESS):
            if frame:
                raise InvalidImage("the image is damaged: it has two frames")
            frame = _frame(segment, marker)
        elif marker == _SCAN:
            if not frame:
                raise InvalidImage("the image is damaged: it has a scan before its frame")
            scans.append(_scan(segment, at))
        elif marker == _RESTARTS and not scans:
            restarts = int.from_bytes(segment, "big") > 0
        elif marker >= _FIRST_APPLICATION:
            application_bytes += len(segment)
    else:
        raise ImageTooLarge(f"the image has too many segments; at most {MAX_SEGMENTS:,} are read")
    if not frame or not scans:
        raise InvalidImage("the image is truncated or damaged: it has no scan")
    several = frame.kind == _PROGRESSIVE or len(scans[0].components) < len(frame.components)
    decoded = scans if several else scans[:1]
    if not several:
        end = scans[0].stop or end
        if not restarts and (restart := _RESTART.search(data, scans[0].start, end)):
            end = restart.start()
    return Jpeg(
        frame.width,
        frame.height,
        frame.kind == _PROGRESSIVE,
        frame.kind == _LOSSLESS,
        len(decoded),
        frame.coefficient_bytes() if several else 0,
        any(frame.starved(scan) for scan in decoded),
        end,
        application_bytes,
        segments,
        not found,
    )


def exif_bytes(data: bytes) -> int:
    """Return the maximum bytes of EXIF in a file: Pillow joins several segments."""
    return sum(int.from_bytes(size, "big") for size in _EXIF.findall(data))


@dataclass(slots=True)
class _Scan:
    """A scan: the ids of its components, its first coefficient, and start and stop of its data in the file."""

    components: bytes
    spectral_start: int
    start: int
    stop: int | None = None


@dataclass(frozen=True, slots=True)
class _Frame:
    """A frame header. `kind` is its marker. `components`: id, horizontal and vertical sampling factor of each."""

    width: int
    height: int
    kind: int
    components: tuple[tuple[int, int, int], ...]

    @property
    def _edge(self) -> int:
        """The number of samples at the edge of a block."""
        return 1 if self.kind == _LOSSLESS else 8

    def coefficient_bytes(self) -> int:
        """Return two bytes for each coefficient. A component has whole blocks, in multiples of its sampling factors."""
        blocks = 0
        for _, across, down in self.components:
            columns, rows = self._blocks(across, down)
            blocks += _up(columns, across) * _up(rows, down)
        return blocks if self.kind == _LOSSLESS else blocks * 64 * 2

    def starved(self, scan: _Scan) -> bool:
        """Return whether a scan has too little data for its blocks.

        A block takes at least one bit for its first coefficient, and one for the others if the same scan holds them. A
        scan of only other coefficients can end many blocks with a few bits.
        """
        assert scan.stop is not None
        if self.kind == _PROGRESSIVE and scan.spectral_start:
            return False
        sampling = self._sampling(scan)
        if len(sampling) == 1:
            columns, rows = self._blocks(*sampling[0])
            blocks = columns * rows
        else:
            blocks = self._units() * sum(across * down for across, down in sampling)
        return 8 * (scan.stop - scan.start) < blocks * (2 if self.kind in _SEQUENTIAL else 1)

    def _sampling(self, scan: _Scan) -> list[tuple[int, int]]:
        """Return the sampling factors of a scan's components. libjpeg uses components with equal ids in their order."""
        left, sampling = list(self.components), []
        for wanted in scan.components:
            found = next((component for component in left if component[0] == wanted), None)
            if found:
                left.remove(found)
            sampling.append(found[1:] if found else (1, 1))
        return sampling

    def _most(self) -> tuple[int, int]:
        return max(across for _, across, _ in self.components), max(down for *_, down in self.components)

    def _blocks(self, across: int, down: int) -> tuple[int, int]:
        most_across, most_down = self._most()
        edge = self._edge
        return -(-self.width * across // (most_across * edge)), -(-self.height * down // (most_down * edge))

    def _units(self) -> int:
        """Return the number of minimum coded units of a scan of several components."""
        most_across, most_down = self._most()
        return -(-self.width // (most_across * self._edge)) * -(-self.height // (most_down * self._edge))


def _frame(segment: bytes, kind: int) -> _Frame:
    try:
        precision, height, width, count = struct.unpack_from(">BHHB", segment)
        rows = [struct.unpack_from("BB", segment, 6 + 3 * number) for number in range(count)]
    except struct.error:
        raise InvalidImage("the image is truncated or damaged: its frame is cut off") from None
    if precision != 8:
        raise UnsupportedFormat(f"the image is a JPEG of {precision} bits; allowed are those of 8 bits")
    components = tuple((component, factors >> 4, factors & 15) for component, factors in rows)
    if not all(1 <= factor <= 4 for component in components for factor in component[1:]):
        raise InvalidImage("the image is damaged: its frame names sampling factors that are not allowed")
    if not components:
        raise InvalidImage("the image is damaged: its frame has no component")
    return _Frame(width, height, kind, components)


def _scan(segment: bytes, start: int) -> _Scan:
    """Parse the header of a scan. Raises InvalidImage if it is truncated."""
    count = segment[0] if segment else 0
    if not count or len(segment) < 1 + 2 * count + 3:
        raise InvalidImage("the image is truncated or damaged: a scan's header is cut off")
    return _Scan(segment[1 : 1 + 2 * count : 2], segment[1 + 2 * count], start)


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
