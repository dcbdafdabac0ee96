"""Detects damage by libtiff's errors and warnings, which Pillow ignores.

libtiff continues to decode after some errors, such as an invalid fax code, and after all warnings, such as a row that
is too short. It reports errors to one handler for the whole process, which by default prints them to stderr.
"""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from PIL import _imaging

from model.errors import InvalidImage

log = logging.getLogger(__name__)

_DAMAGED = "the image is truncated or damaged"
_HARMLESS = b"Try to decode (read) fax Group 3 data without EOL"

_thread = threading.local()

_Handler = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)
_OpenHandler = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p
)


@contextmanager
def no_errors() -> Iterator[None]:
    """Raise InvalidImage at the end of the block if libtiff has reported an error in this thread."""
    _library()
    _thread.failed = False
    yield
    if _thread.failed:
        raise InvalidImage(_DAMAGED)


def check_fax(data: bytes) -> None:
    """Decompress the strips or tiles of a fax (compression 2, 3 or 4). Raises InvalidImage at an error or a warning.

    A fax has no checksums, and all bytes decode to some rows, so only libtiff's warnings indicate damage. Pillow
    disables warnings for the whole process, but not for a file that is opened with handlers of its own.
    """
    library = _library()
    if library is None:
        return
    reports = 0

    def note(tiff: int, user: int, module: bytes, form: bytes, values: int) -> int:
        nonlocal reports
        reports += not form.startswith(_HARMLESS)
        return 1

    handler = _OpenHandler(note)
    options = ctypes.c_void_p(library.TIFFOpenOptionsAlloc())
    library.TIFFOpenOptionsSetErrorHandlerExtR(options, handler, None)
    library.TIFFOpenOptionsSetWarningHandlerExtR(options, handler, None)
    try:
        descriptor = _file_of(data)
        opened = library.TIFFFdOpenExt(descriptor, b"image", b"r", options)
    finally:
        library.TIFFOpenOptionsFree(options)
    if not opened:
        os.close(descriptor)  # else libtiff closes it with the image
        raise InvalidImage(_DAMAGED)
    tiff = ctypes.c_void_p(opened)
    reports = 0  # reports about the directory do not concern the pixels
    try:
        kind = "Tile" if library.TIFFIsTiled(tiff) else "Strip"
        size, read = getattr(library, f"TIFF{kind}Size")(tiff), getattr(library, f"TIFFReadEncoded{kind}")
        buffer = ctypes.create_string_buffer(max(1, size))
        for number in range(getattr(library, f"TIFFNumberOf{kind}s")(tiff)):
            if read(tiff, ctypes.c_uint32(number), buffer, ctypes.c_ssize_t(size)) < 0 or reports:
                raise InvalidImage(_DAMAGED)
    finally:
        library.TIFFClose(tiff)


def _file_of(data: bytes) -> int:
    """Return the descriptor of a file with these bytes, in memory on Linux.

    Raises OSError if the system has no descriptor, memory or disk left.
    """
    if sys.platform == "linux":
        descriptor = os.memfd_create("image")
    else:
        descriptor, name = tempfile.mkstemp()
        os.unlink(name)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(descriptor, left) :]
        os.lseek(descriptor, 0, os.SEEK_SET)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _note(module: bytes, form: bytes, values: int) -> None:
    _thread.failed = True


_handler = _Handler(_note)
"""A global reference, because libtiff may call the handler until the process ends."""


@cache
def _library() -> ctypes.CDLL | None:
    """Return Pillow's libtiff after installing the error handler, or None if the build of Pillow does not export it."""
    library = ctypes.CDLL(_imaging.__file__)
    try:
        for name in ("TIFFOpenOptionsAlloc", "TIFFFdOpenExt"):
            getattr(library, name).restype = ctypes.c_void_p
        for name in ("TIFFStripSize", "TIFFTileSize", "TIFFReadEncodedStrip", "TIFFReadEncodedTile"):
            getattr(library, name).restype = ctypes.c_ssize_t
        library.TIFFSetErrorHandler(_handler)
    except AttributeError:
        log.warning("this build of Pillow does not export libtiff: some damage of TIFF files is not detected")
        return None
    return library
