"""Multipart forms: the file is found, and an invalid form is refused with the exact reason at little cost."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.entrypoints.form import MAX_PARTS, OPTION_BYTES, Form, read_form
from functions.errors import InvalidRequest

B = "bound"
OPTIONS = ("top_k", "model", "filename")


def part(headers: str, data: bytes = b"image") -> bytes:
    return b"--bound\r\n" + headers.encode() + b"\r\n\r\n" + data + b"\r\n"


def file(data: bytes = b"image", name: str = "shoe.png") -> bytes:
    return part(f'Content-Disposition: form-data; name="file"; filename="{name}"', data)


def field(name: str = "other", data: bytes = b"text") -> bytes:
    return part(f'Content-Disposition: form-data; name="{name}"', data)


END = b"--bound--\r\n"

OTHER = "the form has a file in the field {!r}; a file must be in the field file"


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (file() + END, ("shoe.png", b"image")),
        (b"preamble\r\n" + file() + END + b"epilogue", ("shoe.png", b"image")),
        (field() + file() + field() + END, ("shoe.png", b"image")),
        (file(b"a\r\n--boun\r\n") + END, ("shoe.png", b"a\r\n--boun\r\n")),
        (file(bytes(300_000)) + END, ("shoe.png", bytes(300_000))),
        (file(name="") + END, ("", b"image")),
        (field() * (MAX_PARTS - 1) + file() + END, ("shoe.png", b"image")),
        (field(data=bytes(2_000_000)) + file() + END, ("shoe.png", b"image")),
        ((file() + END).replace(b"\r\n", b"\n"), ("shoe.png", b"image")),
    ],
)
def test_the_file_of_a_form_is_found(body: bytes, found: tuple[str, bytes]) -> None:
    name, data = found
    assert read_form(body, B, OPTIONS) == Form(data, name, {})


@pytest.mark.parametrize(
    ("body", "options"),
    [
        (field("top_k", b"3") + file() + END, {"top_k": "3"}),
        (file() + field("top_k", b"3") + field("model", "Schuh ü".encode()) + END, {"top_k": "3", "model": "Schuh ü"}),
        (file() + field("top_k", b"") + END, {"top_k": ""}),
        (field("filename", b"b.png") + file() + END, {"filename": "b.png"}),
        (field("top_k", b"9" * OPTION_BYTES) + file() + END, {"top_k": "9" * OPTION_BYTES}),
        (field("Top_K", b"3") + field("colour", b"3") + field("colour", b"4") + file() + END, {}),
        (part('Content-Disposition: form-data; name="photo"; filename=""', b"") + file() + END, {}),
    ],
)
def test_text_fields_are_options(body: bytes, options: dict[str, str]) -> None:
    form = read_form(body, B, OPTIONS)
    assert (form.data, form.filename, form.options) == (b"image", "shoe.png", options)


def other_file(name: str) -> bytes:
    return part(f'Content-Disposition: form-data; name="{name}"; filename="boot.png"')


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (field() * 10_000 + END, f"the form has too many parts; at most {MAX_PARTS} are allowed"),
        (field() * MAX_PARTS + file() + END, f"the form has too many parts; at most {MAX_PARTS} are allowed"),
        (field() + END, "the form has no field named file; it must have one"),
        (END, "the form has no field named file; it must have one"),
        (file() + file() + END, "the form has more than one field named file; it must have one"),
        (field("file") + END, "the field file of the form is text; it must be a file, with a filename"),
        (field("file") + file() + END, "the field file of the form is text; it must be a file, with a filename"),
        (
            field("file", b"aGVsbG8=") + END,
            "the field file of the form is text; it must be a file, with a filename: curl",
        ),
        (file() + field("file") + END, "the field file of the form is text; it must be a file, with a filename"),
        (
            other_file("photo") + END,
            "the form has no field named file; it must have one; its file is in the field 'photo'",
        ),
        (
            other_file("File") + END,
            "the form has no field named file; it must have one; its file is in the field 'File'",
        ),
        (
            file() + other_file("photo") + END,
            OTHER.format("photo"),
        ),
        (
            other_file("photo") + file() + END,
            OTHER.format("photo"),
        ),
        (
            file() + other_file("top_k") + END,
            OTHER.format("top_k"),
        ),
        (file() + file(b"") + END, "the file 'shoe.png' of the form is empty; it must be an image"),
        (file(b"", "") + file() + END, "the file '' of the form is empty; it must be an image"),
        (file() + field("image_uri", b"gs://b/o") + END, "image_uri is a field of JSON, not of a form; send {"),
        (field("top_k", b"3") * 2 + file() + END, "'top_k' is stated twice; it must be stated once"),
        (field("top_k", b"3") + file() + field("top_k", b"5") + END, "'top_k' is stated twice"),
        (field("model", b"\xff") + file() + END, "the field model of the form is not UTF-8"),
        (
            field("model", b"m" * (OPTION_BYTES + 1)) + file() + END,
            "the field model of the form is 1,025 bytes; at most 1,024 are allowed",
        ),
        (file(b"") + END, "the file 'shoe.png' of the form is empty; it must be an image"),
        (file(b"", "") + END, "the file '' of the form is empty; it must be an image"),
        (b"", "the form is malformed: "),
        (b"no form", "the form is malformed: "),
        (b"--bound", "the form is malformed: "),
        (b"--bound\r\n", "the form is malformed: "),
        (file(), "the form is malformed: "),
        (file(bytes(300_000)), "the form is malformed: "),
        (b"--other\r\nA: b\r\n\r\nimage\r\n--other--", "the form is malformed: "),
        (part("A: b") + file() + END, "the form is malformed: a part has no Content-Disposition"),
        (b"--bound\r\nA: \xff\xfe\r\n\r\nx\r\n" + END, "a part of the form has a header that is not UTF-8"),
        (
            b"--bound\r\n" + b"a:b\r\n" * 200_000 + b"\r\nx\r\n" + END,
            "the headers of a part are too large; at most 8,192",
        ),
        (b"--bound\r\n" + b"a" * 1_000_000, "the headers of a part are too large; at most 8,192 bytes are allowed"),
    ],
)
def test_an_invalid_form_is_refused_with_the_reason(body: bytes, sentence: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_form(body, B, OPTIONS)
    assert str(refused.value).startswith(sentence)


@pytest.mark.parametrize("boundary", ["", "é"])
def test_a_form_needs_a_boundary(boundary: str) -> None:
    with pytest.raises(InvalidRequest, match="the form has no boundary"):
        read_form(file() + END, boundary, OPTIONS)


@pytest.mark.parametrize(
    "body",
    [
        b"--bound" * 2_800_000,
        b"--bound\r\n" * 2_200_000,
        file(b"\r\n--boundx" * 2_000_000) + END,
        file(b"\r\n" * 10_000_000) + END,
        (b"--bound\r\nContent-Disposition: form-data\r\n" + b"a:b\r\n" * 1500 + b"\r\n\r\n") * MAX_PARTS + END,
        b"--bound" + b" " * 20_000_000,
    ],
    ids=["boundaries", "boundary lines", "almost boundaries", "empty lines", "headers", "spaces"],
)
def test_a_form_of_20_mb_is_read_in_time(body: bytes) -> None:
    before = time.thread_time()
    with suppress(InvalidRequest):
        read_form(body, B, OPTIONS)
    assert time.thread_time() - before < 10


NAMES = [
    b"; name=",
    b'; name="file"',
    b'; name="top_k"',
    b'; filename="a"',
    b"; filename*=utf-8''%ff",
    b"; filename*=x''a",
]
BYTES = [b"\r\n", b"\n", b"\r", b"\xff", b"\x00", b"a:b", b":", b" ", b"x" * 9000]
PIECES = st.sampled_from([b"--bound", b"--", b"Content-Disposition: form-data", *NAMES, *BYTES])


@given(st.lists(PIECES, max_size=40).map(b"".join))
def test_any_body_is_a_file_or_refused(body: bytes) -> None:
    try:
        form = read_form(b"--bound\r\n" + body, B, OPTIONS)
    except InvalidRequest:
        return
    assert isinstance(form.filename, str) and form.data
