"""Reads the image from the field `file` of a multipart form ("Returning values from forms", RFC 7578)."""

from __future__ import annotations

from collections.abc import Iterator

from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData, State

from functions.errors import InvalidRequest
from model.text import quoted

MAX_PARTS = 100
"""Maximum number of parts of a form. A valid request needs one; each part costs CPU time."""

_PIECE_BYTES = 8192
"""The decoder reads a form in pieces of this size in bytes. It is also the maximum size of the headers of a part,
because each header line costs CPU time.
"""


def read_file(body: bytes, boundary: str) -> tuple[str, bytes]:
    """Return the name and the bytes of the file. Raises InvalidRequest if the form is malformed or has no file."""
    if not boundary or not boundary.isascii():
        raise InvalidRequest("the form has no boundary; its Content-Type must be multipart/form-data; boundary=TEXT")
    found: list[tuple[str, bytes]] = []
    for part, data in _parts(body, boundary.encode()):
        if part.name != "file":
            continue
        if not isinstance(part, File):
            raise InvalidRequest("the field file of the form is text; it must be a file, with a filename")
        if found:
            raise InvalidRequest("the form has more than one field named file; it must have one")
        found.append((part.filename, data))
    if not found:
        raise InvalidRequest("the form has no field named file; it must have one")
    name, data = found[0]
    if not data:
        raise InvalidRequest(f"the file {quoted(name)} of the form is empty; it must be an image")
    return name, data


def _parts(body: bytes, boundary: bytes) -> Iterator[tuple[Field | File, bytes]]:
    """Yield each part with its data; the data of fields other than `file` are empty."""
    decoder, count = MultipartDecoder(boundary), 0
    part: Field | File | None = None
    data: list[bytes] = []
    for event in _events(decoder, body):
        if isinstance(event, Field | File):
            part, data, count = event, [], count + 1
            if count > MAX_PARTS:
                raise InvalidRequest(f"the form has too many parts; at most {MAX_PARTS} are allowed")
        elif isinstance(event, Data) and part:
            if part.name == "file":
                data.append(event.data)
            if not event.more_data:
                yield part, b"".join(data)


def _events(decoder: MultipartDecoder, body: bytes) -> Iterator[object]:
    """Yield the events of the decoder until the form ends. Raises InvalidRequest for a malformed form."""
    pieces = (body[start : start + _PIECE_BYTES] for start in range(0, len(body), _PIECE_BYTES))
    try:
        for piece in (*pieces, None):
            decoder.receive_data(piece)
            while not isinstance(event := decoder.next_event(), NeedData | Epilogue):
                yield event
            if decoder.state is State.PART and len(decoder.buffer) > _PIECE_BYTES:
                raise InvalidRequest(f"the headers of a part are too large; at most {_PIECE_BYTES:,} bytes are allowed")
    except UnicodeDecodeError:
        raise InvalidRequest("a part of the form has a header that is not UTF-8") from None
    except InvalidRequest:
        raise
    except ValueError:
        raise InvalidRequest(
            "the form is malformed: a part has no Content-Disposition, or the last boundary is missing"
        ) from None
