"""The options of the HTTP entry point, wherever the sender states them: each counts, or is refused by name."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any

import pytest
from werkzeug.test import Client

from tests.fakes import MemoryObjects, MemoryResponses, fake_handler
from tests.http_worker import SERVERS, http_client, read, serving
from tests.samples import encoded


@pytest.fixture
def responses() -> MemoryResponses:
    return MemoryResponses()


@pytest.fixture(params=SERVERS)
def client(
    monkeypatch: pytest.MonkeyPatch, responses: MemoryResponses, request: pytest.FixtureRequest
) -> Iterator[Client]:
    handler = fake_handler(responses=responses, objects=MemoryObjects({"gs://bucket/a": encoded()}))
    with serving(handler, monkeypatch):
        yield http_client(request.param)


def form(**fields: str) -> dict[str, Any]:
    return {"data": {**fields, "file": (io.BytesIO(encoded()), "shoe.png")}}


def test_the_fields_of_a_form_are_options(client: Client, responses: MemoryResponses) -> None:
    assert len(read(client.post("/predict", **form())).predictions) == 3
    assert len(read(client.post("/predict", **form(top_k="1"))).predictions) == 1
    assert len(read(client.post("/predict?top_k=2", **form(top_k="1"))).predictions) == 2
    for fields, code in (({"top_k": "0"}, "invalid_request"), ({"model": "resnet"}, "unknown_model")):
        error = read(client.post("/predict", **form(**fields))).error
        assert error is not None and error.code == code
    assert read(client.post("/predict", **form(explain="true"))).explanation
    named = form(filename="boot.png", reply_to="me", request_id="r1", publish="true")
    response = read(client.post("/predict", **named))
    assert (response.source.filename, response.request_id) == ("boot.png", "r1")
    assert [(r.request_id, r.reply_to) for r in responses.published] == [("r1", "me")]


@pytest.mark.parametrize("content_type", ["Multipart/Form-Data; boundary=b", "MULTIPART/FORM-DATA ; Boundary=b"])
def test_the_case_of_a_media_type_does_not_matter(client: Client, content_type: str) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + encoded() + b"\r\n--b--\r\n"
    assert client.post("/predict", data=body, headers={"Content-Type": content_type}).status_code == 200


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("top_k=1&top_k=2", "'top_k' is stated twice; it must be stated once"),
        ("explain=true&x=1&explain=true", "'explain' is stated twice; it must be stated once"),
        ("publish=1", "publish is '1'; it must be true or false"),
        ("publish=True", "publish is 'True'; it must be true or false"),
        ("publish=true&publish=false", "'publish' is stated twice; it must be stated once"),
    ],
)
def test_an_option_that_is_unclear_is_refused(
    client: Client, responses: MemoryResponses, query: str, message: str
) -> None:
    error = read(client.post(f"/predict?{query}", data=encoded())).error
    assert error is not None and (error.code, error.message) == ("invalid_request", message)
    assert responses.published == []
    assert client.post("/predict?x=1&x=2&publish=false", data=encoded()).status_code == 200


def test_the_request_id_is_that_of_the_header_the_query_or_the_json(client: Client) -> None:
    body = b'{"image_uri": "gs://bucket/a", "request_id": "json"}'
    assert read(client.post("/predict", data=body)).request_id == "json"
    assert read(client.post("/predict?request_id=query", data=body)).request_id == "query"
    headers = {"X-Request-Id": "header"}
    assert read(client.post("/predict?request_id=query", data=body, headers=headers)).request_id == "header"
    assert len(read(client.post("/predict", data=encoded())).request_id) == 32


def test_the_options_in_json_count(client: Client) -> None:
    body = b'\n {"image_uri": "gs://bucket/a", "top_k": 1, "filename": "shoe.png"}'
    response = read(client.post("/predict", data=body))
    assert len(response.predictions) == 1 and response.source.filename == "shoe.png"
    assert len(read(client.post("/predict?top_k=2", data=body)).predictions) == 2
    assert client.post("/predict", data=b'{"image_uri": "gs://bucket/a", "topk": 1}').status_code == 400


def test_an_image_as_text_is_named(client: Client) -> None:
    for data in (base64.b64encode(encoded()), b"data:image/png;base64," + base64.b64encode(encoded())):
        error = read(client.post("/predict", data=data)).error
        assert error is not None and "send the bytes of the image file as they are" in error.message
    stripped = encoded().replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b"")
    error = read(client.post("/predict", data=stripped)).error
    assert error is not None and "curl --data-binary @FILE or -F file=@FILE" in error.message
