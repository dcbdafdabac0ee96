"""Opens a TIFF so that its pixels mean what its directory states, or refuses it with UnsupportedFormat.

Pillow chooses a mode and a raw mode from the directory. For some directories they describe other pixels: Pillow swaps
no bytes of deep samples that libtiff has swapped, does not invert deep grey, and reads each plane as 8 bits.
Format: "TIFF, Revision 6.0" (Adobe, 1992), sections 8, 16, 18, 19 and 21.
"""

from __future__ import annotations

from typing import cast

import numpy as np
from PIL import Image, ImageOps, ImagePalette
from PIL.TiffImagePlugin import PREFIXES, TiffImageFile

from model.errors import UnsupportedFormat
from model.images.normalize import BAND, flatten

_WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC, _OFFSETS = 256, 257, 258, 259, 262, 273
_SAMPLES, _PLANES, _COLOUR_MAP, _TILE_OFFSETS, _INKS, _FORMAT, _SUBSAMPLING = 277, 284, 320, 324, 332, 339, 530
_PHOTOMETRICS = {0: "WhiteIsZero", 1: "BlackIsZero", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr", 8: "Lab"}
_FORMATS = {1: "unsigned", 2: "signed", 3: "float"}
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_UNSIGNED, _SIGNED = 1, 2
_UNCOMPRESSED, _FAXES, _OLD_JPEG, _JPEGS, _PACKBITS, _WEBP = 1, (2, 3, 4), 6, (6, 7), 32773, 50001

_NATIVE = {"F;32BF": "F;32NF", "I;32BS": "I;32NS", "I;16BS": "I;16NS"}
"""The raw modes of big-endian samples, and the raw mode of the same samples after libtiff has swapped their bytes."""

_ASSUMED = {1: _BLACK_IS_ZERO, 3: _RGB}
"""The photometric interpretation by the number of samples where the directory states none, as libtiff assumes it."""

_ALLOWED = (
    "allowed are grey of 1, 2, 4, 8, 12, 16 or 32 bits, RGB or CMYK of 8 or 16, palettes, YCbCr and Lab of up to 8"
)


def is_tiff(data: bytes) -> bool:
    """Return whether a file begins like a TIFF, in one of the forms that Pillow reads."""
    return data.startswith(tuple(PREFIXES))


class Tiff(TiffImageFile):
    """The first image of a TIFF. Raises UnsupportedFormat when it is opened if its pixels would be misread."""

    _negative = False
    """Whether the darkest samples are white, and Pillow does not invert them."""

    _unsigned = False
    """Whether the samples of mode I are unsigned."""

    def flat(self, decode_size: int | None) -> Image.Image:
        """Normalize the loaded image like `flatten`."""
        deep: Image.Image = self
        if self._first(_BITS, 1) == 12:
            deep = self.point(lambda value: value * (65535 / 4095))
        elif self._unsigned and cast(tuple[int, int], self.getextrema()) < (0, 0):
            self._halve()
        flat = flatten(deep, decode_size)
        return ImageOps.invert(flat) if self._negative else flat

    def _halve(self) -> None:
        """Halve unsigned samples above 2^31, which mode I holds as negative. Scaling to 8 bits makes them equal."""
        rows = max(1, BAND // self.width)
        for top in range(0, self.height, rows):
            box = 0, top, self.width, min(top + rows, self.height)
            halves = np.asarray(self.crop(box)).view(np.uint32) >> 1
            self.paste(Image.fromarray(halves.astype(np.int32)), box)

    def _setup(self) -> None:
        """Choose the mode and the raw mode. Pillow calls this after it has read the directory."""
        self._assume_photometric()
        self._check()
        refusal = self._unsupported()
        self._correct()
        try:
            super()._setup()
        except (SyntaxError, KeyError, IndexError) as exc:
            if self._is_complete():
                raise refusal from exc
            raise
        if self.use_load_libtiff:
            (tile,) = self.tile
            raw_mode, *others = cast(tuple[str, bool, int], tile.args)
            self.tile = [tile._replace(args=(_NATIVE.get(raw_mode, raw_mode), *others))]
        if self.mode in ("P", "PA") and max(colours := self.tag_v2[_COLOUR_MAP]) < 256:
            self.palette = ImagePalette.raw("RGB;L", bytes(colours))  # a map of 8 bits, as some programs write it

    def _is_complete(self) -> bool:
        """Return whether the directory has what every image needs. Without it, the file is damaged."""
        has_map = self._first(_PHOTOMETRIC, -1) != _PALETTE or _COLOUR_MAP in self.tag_v2
        return has_map and {_WIDTH, _LENGTH} <= set(self.tag_v2) and bool({_OFFSETS, _TILE_OFFSETS} & set(self.tag_v2))

    def _assume_photometric(self) -> None:
        """Add the photometric interpretation that libtiff assumes if the directory states none."""
        if _PHOTOMETRIC in self.tag_v2:
            return
        if self._first(_COMPRESSION, _UNCOMPRESSED) in _FAXES:
            self.tag_v2[_PHOTOMETRIC] = _WHITE_IS_ZERO
        elif assumed := _ASSUMED.get(self._first(_SAMPLES, 1)):
            self.tag_v2[_PHOTOMETRIC] = assumed

    def _check(self) -> None:
        """Raise UnsupportedFormat for pixels that Pillow would misread, or that the directory does not describe."""
        tags, first = self.tag_v2, self._first
        photometric, compression = first(_PHOTOMETRIC, _WHITE_IS_ZERO), first(_COMPRESSION, _UNCOMPRESSED)
        in_planes = first(_PLANES, 1) == 2 and first(_SAMPLES, 1) > 1
        refused = (
            _PHOTOMETRIC not in tags and compression != _OLD_JPEG,
            photometric == _YCBCR and _SUBSAMPLING not in tags and compression not in _JPEGS,
            photometric == _CMYK and first(_INKS, 1) != 1,  # other inks than cyan, magenta, yellow and black
            in_planes and photometric not in (_RGB, _CMYK) and compression not in _JPEGS,
            first(_FORMAT, _UNSIGNED) == _SIGNED and first(_BITS, 1) <= 8,
            compression == _WEBP,  # Pillow's libtiff is built without it.
        )
        if any(refused):
            raise self._unsupported()

    def _correct(self) -> None:
        """Change the directory in memory to one from which Pillow derives the right raw mode."""
        tags, first = self.tag_v2, self._first
        bits, photometric = first(_BITS, 1), first(_PHOTOMETRIC, _WHITE_IS_ZERO)
        if first(_SAMPLES, 1) == 1:
            tags[_PLANES] = 1
        if photometric == _WHITE_IS_ZERO and bits > 8:
            self._negative, tags[_PHOTOMETRIC] = True, _BLACK_IS_ZERO
        if bits == 32 and first(_FORMAT, _UNSIGNED) == _UNSIGNED:
            self._unsigned, tags[_FORMAT] = True, _SIGNED
        subsampled = photometric == _YCBCR and tags.get(_SUBSAMPLING) != (1, 1)
        if first(_COMPRESSION, _UNCOMPRESSED) == _UNCOMPRESSED and (first(_PLANES, 1) == 2 or subsampled):
            tags[_COMPRESSION] = _PACKBITS  # Pillow then leaves the file to libtiff, which reads the file's own tags.

    def _first(self, tag: int, default: int) -> int:
        """Return the first value of an entry. Raises SyntaxError, as for damage, if it is no whole number."""
        value = self.tag_v2.get(tag, default)
        if isinstance(value, tuple) and value:
            value = value[0]
        if not isinstance(value, int):
            raise SyntaxError(f"tag {tag} is no whole number")
        return value

    def _unsupported(self) -> UnsupportedFormat:
        first, photometric = self._first, self._first(_PHOTOMETRIC, -1)
        colours = _PHOTOMETRICS.get(photometric, str(photometric)) if photometric >= 0 else "none"
        kind = _FORMATS.get(first(_FORMAT, _UNSIGNED), "other")
        return UnsupportedFormat(
            f"the image is a TIFF with photometric interpretation {colours}, samples {first(_SAMPLES, 1)}, bits "
            f"{first(_BITS, 1)} {kind}, planes {first(_PLANES, 1)}, compression {first(_COMPRESSION, 1)}; {_ALLOWED}"
        )
