"""What libtiff reports while it decodes. Pillow looks at neither its errors nor its warnings.

libtiff goes on decoding after some errors, such as a code that no fax has, and after all warnings, such as a row that
is too short. It reports errors to one handler for the whole process, by default as lines on stderr.
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
    """Raise InvalidImage at the end of the block when libtiff has reported an error in this thread meanwhile."""
    _library()
    _thread.failed = False
    yield
    if _thread.failed:
        raise InvalidImage(_DAMAGED)


def check_fax(data: bytes) -> None:
    """Unpack the strips or tiles of a fax (compression 2, 3 or 4); raise InvalidImage at an error or a warning.

    A fax has no checksums, and any bytes give some rows: libtiff's warnings are what tells damage. Pillow switches them
    off for the whole process, but not for a file that is opened with handlers of its own.
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
    reports = 0  # those about the directory say nothing of the pixels
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
    """The descriptor of a file with these bytes, in memory where the system has such files.

    Raises OSError where no descriptor, no memory or no disk is left.
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
"""libtiff may call it as long as the process lives."""


@cache
def _library() -> ctypes.CDLL | None:
    """The libtiff that Pillow uses, its errors noted and no longer printed; None where a build of Pillow hides it."""
    library = ctypes.CDLL(_imaging.__file__)
    try:
        for name in ("TIFFOpenOptionsAlloc", "TIFFFdOpenExt"):
            getattr(library, name).restype = ctypes.c_void_p
        for name in ("TIFFStripSize", "TIFFTileSize", "TIFFReadEncodedStrip", "TIFFReadEncodedTile"):
            getattr(library, name).restype = ctypes.c_ssize_t
        library.TIFFSetErrorHandler(_handler)
    except AttributeError:
        log.warning("this build of Pillow hides libtiff: damage that libtiff reports and passes over is not noticed")
        return None
    return library
