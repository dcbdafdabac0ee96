"""An image that was sent as text is named in its refusal, with what to send instead; every other image is untouched."""

from __future__ import annotations

import base64
import json
from urllib.parse import urlencode

import pytest

from functions.messages.contract import Envelope
from functions.messages.image_as_text import image_as_text
from tests.fakes import MemoryObjects, fake_handler, respond
from tests.samples import BAD_IMAGES, encoded

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "AVIF")
IMAGES = {name: encoded(name, (300, 200), "RGB") for name in FORMATS}
B64 = base64.b64encode(IMAGES["PNG"])


def as_curl_sends(data: bytes) -> bytes:
    """What `curl -d @FILE` sends: no line breaks and no NUL; in older versions, no rest of the line either."""
    return bytes(byte for byte in data if byte not in b"\r\n\0")


def as_old_curl_sends(data: bytes) -> bytes:
    return b"".join(line.split(b"\0")[0] for line in data.replace(b"\r", b"\n").split(b"\n"))


def refusal(payload: bytes) -> tuple[str, str]:
    """The code and the message that answer a payload, inline and in a bucket."""
    stored = MemoryObjects({"gs://photos/a": payload})
    inline = respond(fake_handler(), Envelope("m", payload)).error
    referred = respond(fake_handler(objects=stored), Envelope("m", b'{"image_uri": "gs://photos/a"}')).error
    assert inline and referred
    assert inline == referred or inline.code == "invalid_request"
    assert len(inline.message) <= 300 and inline.message.isprintable()
    return inline.code, inline.message


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("sends", [as_curl_sends, as_old_curl_sends])
def test_an_image_sent_with_curl_d_is_named(name: str, sends: object) -> None:
    assert callable(sends)
    code, message = refusal(sends(IMAGES[name]))
    assert code == "invalid_image"
    if name not in ("TIFF", "AVIF"):  # nothing is left of their first bytes
        assert "sent as text" in message or "as after curl -d @FILE" in message
        assert "curl --data-binary @FILE or -F file=@FILE" in message


@pytest.mark.parametrize(
    "changed",
    [
        IMAGES["PNG"].replace(b"\r\n", b"\n"),
        IMAGES["PNG"].replace(b"\n", b"\r\n"),
        IMAGES["PNG"].decode("latin-1").encode(),
        IMAGES["JPEG"].decode("latin-1").encode(),
        IMAGES["PNG"].decode("utf-8", "replace").encode(),
        IMAGES["JPEG"].decode("utf-8", "replace").encode(),
    ],
)
def test_an_image_that_became_text_on_its_way_is_named(changed: bytes) -> None:
    code, message = refusal(changed)
    assert code == "invalid_image" and "because it was sent as text; send it with curl --data-binary @FILE" in message


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "wrap",
    [
        base64.b64encode,
        base64.urlsafe_b64encode,
        base64.encodebytes,
        lambda data: base64.b64encode(data).rstrip(b"="),
        lambda data: b"\n" + base64.b64encode(data) + b"\n",
        lambda data: json.dumps(base64.b64encode(data).decode()).encode(),
        lambda data: str(base64.b64encode(data)).encode(),
    ],
    ids=["standard", "urlsafe", "lines", "unpadded", "space", "JSON text", "Python"],
)
def test_base64_is_named(name: str, wrap: object) -> None:
    assert callable(wrap)
    code, message = refusal(wrap(IMAGES[name]))
    assert code == "invalid_image"
    assert message == (
        'the image is base64 text; send the bytes of the image file as they are, or {"image_uri": "gs://bucket/object"}'
    )


@pytest.mark.parametrize(
    ("payload", "name"),
    [
        (b"data:image/png;base64," + B64, "a data URL"),
        (b"DATA:image/svg+xml,%3Csvg", "a data URL"),
        (b'"data:image/png;base64,' + B64 + b'"', "a data URL"),
        (b"gs://photos/a.png", "an address"),
        (b"https://example.com/a.png\n", "an address"),
        ('{"image_uri": "gs://photos/a.png"}'.encode("utf-16"), "text in UTF-16"),
        (b'["gs://photos/a.png"]', "JSON"),
        (json.dumps([B64.decode()]).encode(), "JSON"),
        (urlencode({"image": B64.decode()}).encode(), "a URL-encoded form"),
        (b"file=@shoe.png", "a URL-encoded form"),
        (
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n',
            "a form whose Content-Type is not",
        ),
    ],
)
def test_other_text_is_named(payload: bytes, name: str) -> None:
    code, message = refusal(payload)
    assert code == "invalid_image"
    assert message.startswith(f"the image is {name}") and "; send the bytes of the image file as they are" in message


@pytest.mark.parametrize("key", ["image", "b64", "instances", "data"])
@pytest.mark.parametrize("size", [1, 200_000])
def test_base64_in_json_is_named(key: str, size: int) -> None:
    code, message = refusal(json.dumps({key: B64.decode() * (size // len(B64) + 1)}).encode())
    assert code == "invalid_request"
    if size == 1:
        assert f"JSON without image_uri (it has '{key}'); it must look like " in message
    assert '{"image_uri": "gs://bucket/object"}' in message and "the bytes of an image file as they are" in message


@pytest.mark.parametrize(
    "data",
    [
        b"this is no image",
        b"hello",
        b"?",
        b"a" * 500,
        b"BM",
        b"BM\0",
        b"BMW builds cars",
        b'"""A module."""',
        b"RIFF",
        b"GIF89a\x01\n",
        b"RIFF\0",
        b"\0" * 99,
        b"--",
        b"=",
    ],
)
def test_what_is_not_known_is_not_guessed(data: bytes) -> None:
    assert image_as_text(data) is None


def test_images_are_not_taken_for_text() -> None:
    for data in (*IMAGES.values(), *(data for name, (data, _) in BAD_IMAGES.items() if name != "text")):
        assert image_as_text(data) is None
        assert image_as_text(data[:400]) is None
