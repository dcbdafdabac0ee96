"""The pixels of TIFFs, compared with a second decoder: each is right, or the TIFF is refused as unsupported."""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image

from model.errors import InvalidImage, UnsupportedFormat
from model.images.decode import decode_image
from model.images.limits import Limits
from tests.image_files import Entry, tiff

Samples = npt.NDArray[Any]
Shown = npt.NDArray[np.float64]

WIDTH, HEIGHT = 36, 20
LAYOUTS = [
    {"byteorder": order, "compression": compression, "tile": tile}
    for order in "<>"
    for compression in (None, "lzw", "deflate", "packbits", "zstd")
    for tile in (None, (16, 16))
]


@dataclass(frozen=True)
class Kind:
    """What the pixels of a TIFF are. `planes`: "contig" or "separate", as tifffile names tag 284."""

    photometric: str
    type: str
    bits: int
    extra: str = ""
    planes: str = "contig"

    @property
    def samples(self) -> int:
        return {"rgb": 3, "separated": 4, "ycbcr": 3, "cielab": 3}.get(self.photometric, 1) + bool(self.extra)


TYPES = [("u1", 1), ("u1", 2), ("u1", 4), ("u1", 8), ("u2", 12), ("u2", 16), ("u4", 32), ("u8", 64)]
TYPES += [("i1", 8), ("i2", 16), ("i4", 32), ("f2", 16), ("f4", 32), ("f8", 64)]
COLOURS = ["miniswhite", "minisblack", "rgb", "separated", "cielab"]
KINDS = [
    *(Kind(colours, *each) for colours in COLOURS for each in TYPES),
    *(Kind(colours, *each, planes="separate") for colours in COLOURS[2:] for each in TYPES if each[1] >= 8),
    *(
        Kind(colours, type, bits, extra, planes)
        for colours in ("minisblack", "rgb")
        for type, bits in (("u1", 8), ("u2", 16), ("f4", 32))
        for extra in ("unassalpha", "assocalpha", "unspecified")
        for planes in ("contig", "separate")
    ),
    *(Kind("palette", f"u{bits // 8}", bits) for bits in (8, 16)),
    *(Kind("ycbcr", "u1", 8, planes=planes) for planes in ("contig", "separate")),
]

GREY = [("u1", 1), ("u1", 2), ("u1", 4), ("u1", 8), ("u2", 16), ("u4", 32), ("i2", 16), ("i4", 32), ("f4", 32)]
EXTRAS = ["", "unassalpha", "assocalpha", "unspecified"]
READ = {
    *(Kind(colours, *each) for colours in ("miniswhite", "minisblack") for each in GREY),
    *(
        Kind("rgb", type, bits, extra, planes)
        for type, bits in (("u1", 8), ("u2", 16))
        for extra in EXTRAS
        for planes in ("contig", "separate")
    ),
    *(
        Kind("separated", type, bits, planes=planes)
        for type, bits in (("u1", 8), ("u2", 16))
        for planes in ("contig", "separate")
    ),
    *(Kind("minisblack", "u1", 8, extra) for extra in EXTRAS),
    Kind("palette", "u1", 8),
    Kind("cielab", "u1", 8),
    Kind("ycbcr", "u1", 8),
}
"""The kinds that are read in either byte order, with any compression. The others are refused."""


def gradients(kind: Kind) -> Samples:
    """Samples over most of the range of their type; premultiplied where the kind is. [height, width, samples]"""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    shares = np.stack([(x * (band + 1) * 7 + y * 5 * (3 - band % 3)) % 256 for band in range(kind.samples)], -1) / 255
    if kind.extra == "assocalpha":
        shares[..., :-1] *= shares[..., -1:]
    if kind.photometric == "cielab":  # colours that sRGB has; a and b have a sign
        lab = np.stack([100 + 50 * shares[..., 0], 6 * shares[..., 1], 250 + 5 * shares[..., 2]], -1)
        shares = lab % 256 / 255
    type = np.dtype(kind.type)
    if type.kind == "f":
        return shares.astype(type)
    low, high = (0, 2**kind.bits - 1) if type.kind == "u" else (-(2 ** (kind.bits - 1)), 2 ** (kind.bits - 1) - 1)
    return (low + shares * (float(high) * 0.999999 - low)).round().astype(type)


def written(kind: Kind, samples: Samples, layout: Mapping[str, object]) -> bytes | None:
    """The TIFF, or None if tifffile writes no such TIFF."""
    options: dict[str, object] = dict(layout)
    if kind.extra:
        options["extrasamples"] = [kind.extra]
    if kind.samples > 1:
        options["planarconfig"] = kind.planes
        samples = np.ascontiguousarray(np.moveaxis(samples, -1, 0)) if kind.planes == "separate" else samples
    else:
        samples = samples[..., 0]
    if kind.photometric == "palette":
        options["colormap"] = np.stack([np.arange(2**kind.bits) * 65535 // (2**kind.bits - 1)] * 3).astype("u2")
    if kind.bits == 1:
        samples = samples.astype(bool)
    elif kind.bits != 8 * samples.itemsize:
        options["bitspersample"] = kind.bits
    file = io.BytesIO()
    try:
        tifffile.imwrite(file, samples, photometric=kind.photometric, metadata=None, **options)
    except (ValueError, NotImplementedError):
        return None
    return file.getvalue()


def shown(kind: Kind, samples: Samples) -> Shown:
    """The pixels that a model receives: docs/images.md, "Formats". `samples`: [height, width, samples], as decoded."""
    values = samples.astype(np.float64)
    if kind.type[0] == "u" and kind.bits <= 16:
        values = values * 255 / (2**kind.bits - 1)
    elif kind.type[0] == "f":
        values = values * 255
    else:
        values = (values - values.min()) * 255 / (values.max() - values.min())
    colours, extra = (values[..., :-1], values[..., -1:]) if kind.extra else (values, values[..., :0])
    if kind.extra == "unassalpha":
        colours = (colours * extra + 255 * (255 - extra)) / 255
    elif kind.extra == "assocalpha":
        colours = colours + 255 - extra
    if kind.photometric == "miniswhite":
        return 255 - colours
    if kind.photometric == "separated":
        return (255 - colours[..., :3]) * (255 - colours[..., 3:]) / 255
    if kind.photometric == "ycbcr":
        return np.asarray(Image.fromarray(samples.astype("u1"), "YCbCr").convert("RGB"), np.float64)
    return from_lab(samples.astype("u1")) if kind.photometric == "cielab" else colours


def from_lab(samples: Samples) -> Shown:
    """sRGB of CIE L*a*b* under D50."""
    lightness, a, b = samples[..., 0] * (100 / 255), *(samples[..., band].view(np.int8) for band in (1, 2))
    y = (lightness + 16) / 116
    cubed = np.stack([y + a / 500, y, y - b / 200], -1)
    xyz = np.where(cubed > 6 / 29, cubed**3, 3 * (6 / 29) ** 2 * (cubed - 4 / 29)) * (0.9642, 1.0, 0.8249)
    linear = xyz @ np.array(
        [[3.1339, -0.9788, 0.0719], [-1.6169, 1.9161, -0.2290], [-0.4906, 0.0335, 1.4052]], np.float64
    )
    linear = np.clip(linear, 0, 1)
    return 255 * np.where(linear < 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def decoded(data: bytes, bands: int) -> npt.NDArray[np.int64]:
    image = decode_image(data, Limits())
    return np.asarray(image.convert("RGB") if bands == 3 else image, np.int64).reshape(HEIGHT, WIDTH, bands)


def second_decoder(kind: Kind, data: bytes) -> Samples:
    samples: Samples = tifffile.imread(io.BytesIO(data))
    if kind.planes == "separate":
        samples = np.moveaxis(samples, 0, -1)
    return samples.reshape(HEIGHT, WIDTH, kind.samples)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, vars(kind).values())))
def test_the_pixels_are_those_of_a_second_decoder_or_the_tiff_is_unsupported(kind: Kind) -> None:
    files = [data for layout in LAYOUTS if (data := written(kind, gradients(kind), layout))]
    if not files:
        assert kind not in READ
        return
    for data in files:
        if kind in READ or (kind.bits == 12 and data[:2] == b"II" and kind.photometric.startswith("minis")):
            expected = shown(kind, second_decoder(kind, data))
            if kind.extra and expected.shape[-1] == 1:
                expected = np.repeat(expected, 3, -1)
            pixels = decoded(data, 3 if expected.shape[-1] == 3 or kind.photometric == "palette" else 1)
            assert np.abs(pixels - expected).max() <= (4 if kind.photometric == "cielab" or kind.extra else 1.01)
        else:
            with pytest.raises(UnsupportedFormat, match="the image is a TIFF with photometric interpretation"):
                decode_image(data, Limits())


def entries(size: tuple[int, int], bits: int, photometric: int | None, body: bytes, *more: Entry) -> list[Entry]:
    """A directory with one uncompressed strip of one sample, unless `more` states otherwise."""
    width, height = size
    plain = {
        **{256: (4, 1, width), 257: (4, 1, height), 258: (3, 1, bits), 259: (3, 1, 1), 277: (3, 1, 1)},
        **{273: (4, 1, 1000), 278: (4, 1, height), 279: (4, 1, len(body))},
    }
    if photometric is not None:
        plain[262] = (3, 1, photometric)
    plain.update({tag: entry for tag, *entry in more})  # type: ignore[misc]
    return [(tag, *entry) for tag, entry in plain.items()]


ORDERS = pytest.mark.parametrize("order", ["<", ">"])


@ORDERS
@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("compression", [1, 8])
@pytest.mark.parametrize("planes", [1, 2])
def test_grey_of_any_depth_is_read_whatever_its_number_of_planes(
    order: str, photometric: int, compression: int, planes: int
) -> None:
    """One sample has one plane, whatever tag 284 states."""
    grey = np.linspace(0, 65535, WIDTH * HEIGHT).round().astype(np.uint16).reshape(HEIGHT, WIDTH)
    for bits, body, expected in (
        (16, grey.astype(f"{order}u2").tobytes(), grey / 257),
        (8, (grey >> 8).astype("u1").tobytes(), grey >> 8),
        (1, np.packbits(grey > 9_999, axis=1).tobytes(), (grey > 9_999) * 255),
    ):
        packed = zlib.compress(body) if compression == 8 else body
        more = (259, 3, 1, compression), (284, 3, 1, planes)
        data = tiff(entries((WIDTH, HEIGHT), bits, photometric, packed, *more), packed, order)
        pixels = decoded(data, 1)[..., 0]
        assert np.abs(pixels - (expected if photometric else 255 - expected)).max() <= 0.5


@pytest.mark.parametrize("compression", [1, 8])
@pytest.mark.parametrize("photometric", [0, 1])
def test_twelve_bits_are_scaled_to_eight(compression: int, photometric: int) -> None:
    grey = np.linspace(0, 4095, WIDTH * HEIGHT).round().astype(np.uint16)
    body = b"".join(
        bytes([one >> 4, (one & 15) << 4 | other >> 8, other & 255]) for one, other in grey.reshape(-1, 2).tolist()
    )
    body = zlib.compress(body) if compression == 8 else body
    data = tiff(entries((WIDTH, HEIGHT), 12, photometric, body, (259, 3, 1, compression)), body)
    expected = grey.reshape(HEIGHT, WIDTH) / 4095 * 255
    assert np.abs(decoded(data, 1)[..., 0] - (expected if photometric else 255 - expected)).max() <= 1


@ORDERS
@pytest.mark.parametrize("photometric", [0, 1])
def test_unsigned_samples_above_two_billion_are_not_negative(order: str, photometric: int) -> None:
    row = np.array([0, 2**31 - 1, 2**31, 2**32 - 1], np.uint32)
    body = row.astype(f"{order}u4").tobytes()
    image = decode_image(tiff(entries((4, 1), 32, photometric, body), body, order), Limits())
    expected = [0, 127, 128, 255]
    assert np.abs(np.asarray(image)[0] - np.array(expected if photometric else expected[::-1])).max() <= 1


@pytest.mark.parametrize("sampling", [(1, 1), (2, 1), (2, 2), (4, 2)])
@pytest.mark.parametrize("compression", [1, 8])
@ORDERS
def test_subsampled_colours_are_read(sampling: tuple[int, int], compression: int, order: str) -> None:
    across, down = sampling
    colour = Image.new("RGB", (1, 1), (200, 60, 30)).convert("YCbCr").getpixel((0, 0))
    assert isinstance(colour, tuple)
    units = WIDTH // across * (HEIGHT // down)
    body = bytes([colour[0]] * across * down + [*colour[1:]]) * units
    body = zlib.compress(body) if compression == 8 else body
    stated = struct.unpack(f"{order}I", struct.pack(f"{order}HH", *sampling))[0]
    samples = (258, 3, 3, 900), (277, 3, 1, 3), (259, 3, 1, compression)
    with_tag = tiff(entries((WIDTH, HEIGHT), 8, 6, body, *samples, (530, 3, 2, stated)), body, order)
    depths = struct.pack(f"{order}HHH", 8, 8, 8)
    with_tag = with_tag[:900] + depths + with_tag[906:]
    assert np.abs(decoded(with_tag, 3) - (200, 60, 30)).max() <= 2
    without = tiff(entries((WIDTH, HEIGHT), 8, 6, body, *samples), body, order)
    with pytest.raises(UnsupportedFormat):
        decode_image(without[:900] + depths + without[906:], Limits())


def test_without_a_photometric_interpretation_grey_is_black_at_zero() -> None:
    """As libtiff assumes."""
    body = bytes(range(200))
    assert decode_image(tiff(entries((20, 10), 8, None, body), body), Limits()).tobytes() == body


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("highest", [255, 65_535])
def test_a_colour_map_of_eight_bits_is_read_as_one_of_sixteen(highest: int, bits: int) -> None:
    body, count = b"\xff" * 32 * bits, 2**bits
    colours = struct.pack(
        f"<{3 * count}H", *(value * highest // (count - 1) for value in range(count)), *[0] * 2 * count
    )
    data = tiff(entries((16, 16), bits, 3, body, (320, 3, 3 * count, 1000 + len(body))), body + colours)
    assert decode_image(data, Limits()).getpixel((15, 15)) == (255, 0, 0)


@pytest.mark.parametrize(
    ("photometric", "more"),
    [
        (1, (259, 3, 1, 10)),
        (1, (259, 3, 1, 50001)),
        (1, (339, 3, 1, 2)),
        (1, (339, 3, 1, 4)),
        (9, (266, 3, 1, 1)),
        (32_844, (259, 3, 1, 34_676)),
        (1, (258, 3, 1, 10)),
    ],
)
def test_other_tiffs_are_refused_by_their_tags(photometric: int, more: Entry) -> None:
    body = bytes(400)
    with pytest.raises(UnsupportedFormat) as caught:
        decode_image(tiff(entries((20, 10), 8, photometric, body, more), body), Limits())
    message = str(caught.value)
    assert "compression" in message and "allowed are" in message
    assert len(message) <= 300 and "\n" not in message


@pytest.mark.parametrize("missing", [256, 257, 273])
def test_a_directory_without_an_entry_that_every_image_has_is_damaged(missing: int) -> None:
    body = bytes(200)
    plain = [each for each in entries((20, 10), 8, 1, body) if each[0] != missing]
    with pytest.raises(InvalidImage) as caught:
        decode_image(tiff(plain, body), Limits())
    assert type(caught.value) is InvalidImage


def test_entries_that_are_no_whole_numbers_are_refused() -> None:
    """Pillow compares a float with a whole number."""
    body = bytes(200)
    for tag, kind in itertools.product((258, 259, 262, 277, 284, 339), (2, 7, 11)):
        with pytest.raises(InvalidImage):
            decode_image(tiff(entries((20, 10), 8, 1, body, (tag, kind, 1, 0x41)), body), Limits())
