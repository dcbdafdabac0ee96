"""What decoding a JPEG will take, read from its segments before libjpeg or Pillow act on them.

Format: ITU-T T.81, annex B. Memory: libjpeg-turbo, jdcoefct.c, which keeps all coefficients of an image that comes in
several scans.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from model.errors import ImageTooLarge, InvalidImage, UnsupportedFormat

MAX_SEGMENTS = 60_000

_MARKER = re.compile(rb"\xff([\xc0-\xcf\xd8-\xfe])")
"""A marker whose segment libjpeg skips or reads. It ignores escaped bytes and restarts (FF00, FFD0 to FFD7), and either
ignores the reserved codes below C0 or refuses the file.

The pattern takes only the last of the fill bytes before a marker: a pattern that takes all of them needs ten times as
long, and time in proportion to the square of their number where no marker follows.
"""

_EXIF = re.compile(rb"\xff\xe1(..)Exif\x00\x00", re.DOTALL)
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_END, _SCAN, _RESTARTS, _FIRST_APPLICATION = 0xD9, 0xDA, 0xDD, 0xE0
_SEQUENTIAL, _PROGRESSIVE, _LOSSLESS = (0xC0, 0xC1), 0xC2, 0xC3
_FOREIGN = {
    **dict.fromkeys((0xC5, 0xC6, 0xC7), "a hierarchical JPEG"),
    **dict.fromkeys((0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF), "a JPEG with arithmetic coding"),
}
"""Frames that are not served. libjpeg reads no hierarchical ones, and cannot pause in arithmetic coding: it fails where
the data come in pieces, and no clock could stop it where they come at once.
"""


@dataclass(frozen=True, slots=True)
class Jpeg:
    """The first image of a JPEG stream.

    `coefficient_bytes`: memory that libjpeg takes for coefficients (samples where it is lossless): 0 unless the image
    comes in several scans. `scans` counts those that it decodes. `starved`: a scan has fewer bits than its blocks need
    at the very least. `end`: offset behind the image's last byte of data, before its end marker if it has one, or
    before whatever makes libjpeg end the only scan: any marker, also one for a restart where none is announced.
    `application_bytes`: of segments for applications, such as EXIF, and of comments. `segments`: how many were
    looked at.
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

    @property
    def several_scans(self) -> bool:
        return self.coefficient_bytes > 0


def read_jpeg(data: bytes, start: int = 0, stop: int | None = None, max_segments: int = MAX_SEGMENTS) -> Jpeg:
    """Read the segments of the JPEG stream at data[start:stop], as libjpeg finds them, to the end of its first image.

    What looks like a scan in a thumbnail, or in the video that phones put behind a photo, is none.
    Raises ImageTooLarge for too many segments to look at, UnsupportedFormat for a kind of JPEG that is not served, and
    InvalidImage when there is no frame or no scan.
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
    )


def exif_bytes(data: bytes) -> int:
    """How much EXIF a file can have at most: Pillow joins what stands in several segments."""
    return sum(int.from_bytes(size, "big") for size in _EXIF.findall(data))


@dataclass(slots=True)
class _Scan:
    """`components`: their ids. `spectral_start`: the first coefficient. `start`, `stop`: of its data in the file."""

    components: bytes
    spectral_start: int
    start: int
    stop: int | None = None


@dataclass(frozen=True, slots=True)
class _Frame:
    """A frame header. `kind`: its marker. `components`: id, horizontal and vertical sampling factor of each."""

    width: int
    height: int
    kind: int
    components: tuple[tuple[int, int, int], ...]

    @property
    def _edge(self) -> int:
        """Samples of an edge of a block."""
        return 1 if self.kind == _LOSSLESS else 8

    def coefficient_bytes(self) -> int:
        """Two bytes for each of all components, in whole blocks, and these in multiples of the sampling factors."""
        blocks = 0
        for _, across, down in self.components:
            columns, rows = self._blocks(across, down)
            blocks += _up(columns, across) * _up(rows, down)
        return blocks if self.kind == _LOSSLESS else blocks * 64 * 2

    def starved(self, scan: _Scan) -> bool:
        """Whether a scan has too little data: a block takes one bit at least for its first coefficient, and another
        where the same scan brings the others. Scans of the others alone can end many blocks with a few bits.
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
        """Sampling factors of a scan's components. Where an id is there twice, libjpeg takes one after the other."""
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
        """Minimum coded units of a scan of several components."""
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
    """Raises InvalidImage when the header is cut off."""
    count = segment[0] if segment else 0
    if not count or len(segment) < 1 + 2 * count + 3:
        raise InvalidImage("the image is truncated or damaged: a scan's header is cut off")
    return _Scan(segment[1 : 1 + 2 * count : 2], segment[1 + 2 * count], start)


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
