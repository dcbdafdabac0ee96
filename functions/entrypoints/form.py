"""Reads a multipart form: the image in the field `file`, and options ("Returning values from forms", RFC 7578)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData, State

from functions.errors import InvalidRequest
from functions.messages.request_decoder import distinct
from model.text import quoted

MAX_FILES = 256
"""Maximum number of files of a form, as of images in a message."""

MAX_PARTS = 300
"""Maximum number of parts of a form: the files and the options. Each part costs CPU time."""

OPTION_BYTES = 1_024
"""Maximum bytes of an option in a form: those of a message attribute in Pub/Sub."""

_NOT_TEXT = {
    "file": "the field file of the form is text; it must be a file, with a filename: curl -F file=@FILE",
    "image_uri": 'image_uri is a field of JSON, not of a form; send {"image_uri": "gs://bucket/object"} as the body',
}

_PIECE_BYTES = 8192
"""The decoder reads a form in pieces of this size in bytes. It is also the maximum size of the headers of a part,
because each header line costs CPU time.
"""


@dataclass(frozen=True, slots=True)
class Files:
    """The names and bytes of the files, at least one, and the options in other fields."""

    files: Sequence[tuple[str, bytes]]
    options: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Form:
    """The bytes of the file, its name, which may be empty, and the options in other fields."""

    data: bytes
    filename: str
    options: Mapping[str, str]


def read_form(body: bytes, boundary: str, options: Collection[str]) -> Form:
    """Return the file and those text fields whose names are in `options`; other text fields are ignored.

    Raises InvalidRequest if the form is malformed, states an option twice, or has no file or several.
    """
    form = read_files(body, boundary, options)
    if len(form.files) > 1:
        raise InvalidRequest("the form has more than one field named file; it must have one")
    [(filename, data)] = form.files
    return Form(data, filename, form.options)


def read_files(body: bytes, boundary: str, options: Collection[str]) -> Files:
    """Return all files of the field `file`, and the options as `read_form` does.

    Raises InvalidRequest if the form is malformed, states an option twice, has no file, or one in another field.
    """
    if not boundary or not boundary.isascii():
        raise InvalidRequest("the form has no boundary; its Content-Type must be multipart/form-data; boundary=TEXT")
    files, texts = list[tuple[File, bytes]](), list[tuple[str, str]]()
    for part, data in _parts(body, boundary.encode(), {"file", *options}):
        if isinstance(part, File):
            if part.filename or part.name == "file":  # a browser sends an input without a chosen file like this
                files.append((part, data))
        elif part.name in ("file", "image_uri"):
            raise InvalidRequest(_NOT_TEXT[part.name])
        elif part.name in options:
            texts.append((part.name, _option(part.name, data)))
    return Files(_checked(files), distinct(texts))


def _checked(files: Sequence[tuple[File, bytes]]) -> list[tuple[str, bytes]]:
    names = [file.name for file, _ in files]
    if "file" not in names:
        found = f"; its file is in the field {quoted(names[0])}" if names else ""
        raise InvalidRequest(f"the form has no field named file; it must have one{found}")
    if other := next((name for name in names if name != "file"), None):
        raise InvalidRequest(f"the form has a file in the field {quoted(other)}; a file must be in the field file")
    if len(files) > MAX_FILES:
        raise InvalidRequest(f"the form has {len(files)} files; at most {MAX_FILES} are allowed")
    for file, data in files:
        if not data:
            raise InvalidRequest(f"the file {quoted(file.filename)} of the form is empty; it must be an image")
    return [(file.filename, data) for file, data in files]


def _option(name: str, data: bytes) -> str:
    if len(data) > OPTION_BYTES:
        raise InvalidRequest(
            f"the field {name} of the form is {len(data):,} bytes; at most {OPTION_BYTES:,} are allowed"
        )
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise InvalidRequest(f"the field {name} of the form is not UTF-8") from None


def _parts(body: bytes, boundary: bytes, wanted: Collection[str]) -> Iterator[tuple[Field | File, bytes]]:
    """Yield each part with its data; the data of fields whose names are not in `wanted` are empty."""
    decoder, count = MultipartDecoder(boundary), 0
    part: Field | File | None = None
    data: list[bytes] = []
    for event in _events(decoder, body):
        if isinstance(event, Field | File):
            part, data, count = event, [], count + 1
            if count > MAX_PARTS:
                raise InvalidRequest(f"the form has too many parts; at most {MAX_PARTS} are allowed")
        elif isinstance(event, Data) and part:
            if part.name in wanted:
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
