"""Names known formats that are not supported, so that the error message can name them.

It never accepts a file: only Pillow's readers do.
"""

from __future__ import annotations

_HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}

_MAGIC = {
    b"%PDF-": "PDF",
    b"8BPS": "PSD",
    b"\x00\x00\x01\x00": "ICO",
    b"\x00\x00\x00\x0cjP  \r\n\x87\n": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\x00\x00\x00\x0cJXL \r\n\x87\n": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
    b"PK\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
    b"\x1aE\xdf\xa3": "a Matroska or WebM video",
    b"v/1\x01": "OpenEXR",
    b"SIMPLE  =": "FITS",
    b"MM\x00\x2b": "a big-endian BigTIFF",
}


def foreign_format(data: bytes) -> str | None:
    """Return the name of a known format that is not supported, or None."""
    head = data[:1024]
    if head[4:8] == b"ftyp":
        return _isobmff(head)
    if head.startswith(tuple(_MAGIC)):
        return next(name for magic, name in _MAGIC.items() if head.startswith(magic))
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not text.startswith(b"<"):
        return None
    text = text.lower()
    if text.startswith((b"<svg", b"<?xml", b"<!doctype svg")) and b"<svg" in text:
        return "SVG"
    if text.startswith((b"<!doctype html", b"<html")):
        return "HTML"
    return None


def _isobmff(head: bytes) -> str | None:
    """Identify the format by its brands: AVIF, HEIC and MP4 share a container (ISO/IEC 14496-12, file type box)."""
    length = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[8:12]} | {head[i : i + 4] for i in range(16, length - 3, 4)}
    if brands & {b"avif", b"avis"}:
        return None
    return "HEIC" if brands & _HEIF_BRANDS else "a video or another file of the MP4 family"
