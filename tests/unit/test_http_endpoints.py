"""The HTTP endpoints, through each server."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from functions_framework import create_app
from PIL import Image
from werkzeug.test import Client

from functions import bootstrap
from functions.errors import HTTP_STATUS, UNAVAILABLE
from functions.messages.contract import ObjectRef, encode_response
from functions.messages.image_lines import encode_line
from functions.messages.request_decoder import LINES_TYPE
from functions.service.handler import Handler
from model.engines.micro_batcher import MicroBatcher
from tests.fakes import (
    BrightnessEngine,
    MemoryObjects,
    MemoryResponses,
    MemoryResponseStore,
    engine_of,
    fake_handler,
    forget_settings,
)
from tests.http_worker import SERVERS, http_client, read, serving, use
from tests.samples import BAD_IMAGES, encoded


@pytest.fixture
def responses() -> MemoryResponses:
    return MemoryResponses()


@pytest.fixture
def engine() -> BrightnessEngine:
    return BrightnessEngine()


@pytest.fixture
def handler(monkeypatch: pytest.MonkeyPatch, responses: MemoryResponses, engine: BrightnessEngine) -> Iterator[Handler]:
    batches = MicroBatcher(engine, max_batch_size=4)
    objects = MemoryObjects({"gs://bucket/a": encoded()})
    with serving(fake_handler(responses=responses, engine=engine, objects=objects, batches=batches), monkeypatch):
        yield bootstrap.handler()
    batches.close()


@pytest.fixture(params=SERVERS)
def client(handler: Handler, request: pytest.FixtureRequest) -> Client:
    return http_client(request.param)


def pushed(data: bytes, **attributes: str) -> dict[str, Any]:
    message = {"data": base64.b64encode(data).decode(), "messageId": "m1", "attributes": attributes}
    return {"json": {"message": message, "subscription": "s", "deliveryAttempt": 2}}


def test_predict_takes_a_raw_body(client: Client, responses: MemoryResponses) -> None:
    reply = client.post("/predict?top_k=2", data=encoded(), headers={"X-Request-Id": "r1", "Content-Type": "image/png"})
    assert reply.status_code == 200 and reply.content_type == "application/json"
    response = read(reply)
    assert response.request_id == "r1" and len(response.predictions) == 2
    assert responses.published == [], "a caller who waits is answered, and nothing is published"


@pytest.mark.parametrize("query", ["", "?publish=true"])
def test_several_images_are_answered_503_when_one_is_unavailable(
    query: str, client: Client, handler: Handler, responses: MemoryResponses
) -> None:
    """So that a caller tries again; the others have their responses all the same."""
    lines = b"\n".join([encode_line("a", encoded()), encode_line("b", ObjectRef("bucket", "a"))])
    headers = {"Content-Type": LINES_TYPE}
    assert client.post(f"/predict{query}", data=lines, headers=headers).status_code == 200
    handler.pipeline.objects.failure = ConnectionError("not now")  # type: ignore[attr-defined]
    more = lines.replace(b'"a"', b'"c"').replace(b'"b"', b'"d"')
    reply = client.post(f"/predict{query}", data=more, headers=headers)
    found = [each["error"] and each["error"]["code"] for each in json.loads(reply.data)["responses"]]
    assert (reply.status_code, found) == (503, [None, UNAVAILABLE])
    assert sorted(each.request_id for each in responses.published) == (["a", "b", "c"] if query else [])


def test_predict_takes_a_body_with_curls_default_content_type(client: Client) -> None:
    reply = client.post("/predict", data=encoded(), headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert reply.status_code == 200


def test_predict_returns_an_explanation_on_request(client: Client) -> None:
    assert read(client.post("/predict", data=encoded())).explanation is None
    assert read(client.post("/predict?explain=false", data=encoded())).explanation is None
    response = read(client.post("/predict?explain=true", data=encoded()))
    why = response.explanation
    assert why is not None and why.method == "occlusion" and why.label == response.predictions[0].label
    assert Image.open(io.BytesIO(why.png)).size == (224, 224)
    assert read(client.post("/predict", data=b'{"image_uri": "gs://bucket/a", "explain": true}')).explanation


def test_predict_takes_a_multipart_file(client: Client) -> None:
    reply = client.post("/predict", data={"file": (io.BytesIO(encoded()), "shoe.png")})
    assert reply.status_code == 200 and read(reply).source.filename == "shoe.png"
    reply = client.post("/predict", data={"photo": (io.BytesIO(encoded()), "shoe.png")})
    assert reply.status_code == 400
    error = read(reply).error
    assert error is not None and "no field named file" in error.message


def test_a_form_of_301_parts_is_refused_with_the_limit(client: Client) -> None:
    form = {f"part {number}": "x" for number in range(300)} | {"file": (io.BytesIO(encoded()), "shoe.png")}
    reply = client.post("/predict", data=form)
    error = read(reply).error
    assert reply.status_code == 400 and error is not None and error.code == "invalid_request"
    assert error.message == "the form has too many parts; at most 300 are allowed"
    reply = client.post("/predict", data=b"x", headers={"Content-Type": "multipart/form-data"})
    error = read(reply).error
    assert reply.status_code == 400 and error is not None and error.message.startswith("the form has no boundary")


def test_predict_takes_a_reference(client: Client) -> None:
    assert client.post("/predict", data=b'{"image_uri": "gs://bucket/a"}').status_code == 200
    assert client.post("/predict", data=b'{"image_uri": "gs://bucket/gone"}').status_code == 404
    assert client.post("/predict", data=b'{"image_uri": "http://host/a"}').status_code == 400


def test_predict_returns_the_bare_label(client: Client) -> None:
    reply = client.post("/predict", data=encoded("PNG", (8, 8)), headers={"Accept": "text/plain"})
    assert reply.get_data(as_text=True) in {"dark\n", "light\n", "middle\n"}
    reply = client.post("/predict", data=b"?", headers={"Accept": "text/plain"})
    assert reply.status_code == 400 and reply.get_data(as_text=True).startswith("invalid_image: the bytes are not")


def test_predict_publishes_on_request(client: Client, responses: MemoryResponses) -> None:
    reply = client.post("/predict?publish=true&reply_to=me", data=encoded())
    assert [r.request_id for r in responses.published] == [read(reply).request_id]
    assert responses.published[0].reply_to == "me"


def test_predict_publishes_the_same_response_twice(
    client: Client, responses: MemoryResponses, monkeypatch: pytest.MonkeyPatch
) -> None:
    response_store = MemoryResponseStore()
    for _ in range(2):  # two workers
        use(fake_handler(responses=responses, response_store=response_store), monkeypatch)
        reply = client.post("/predict?publish=true", data=encoded(), headers={"X-Request-Id": "r1"})
        assert reply.status_code == 200
        assert reply.get_data() == encode_response(responses.published[0])
    first, second = responses.published
    assert encode_response(first) == encode_response(second)
    assert client.post("/predict", data=encoded(), headers={"X-Request-Id": "r2"}).status_code == 200
    assert len(response_store.answers) == 1, "what is not published is not stored"


@pytest.mark.parametrize(("data", "code"), BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_predict_refuses_bad_requests(client: Client, data: bytes, code: str) -> None:
    reply = client.post("/predict", data=data)
    error = read(reply).error
    assert error is not None and error.code == code
    assert reply.status_code == HTTP_STATUS[code]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("top_k=0", "invalid_request"),
        ("top_k=abc", "invalid_request"),
        ("top_k=1000", "invalid_request"),
        ("model=resnet", "unknown_model"),
        ("expires_at=2020-01-01T00:00:00Z", "expired"),
        ("reply_to=" + "x" * 300, "invalid_request"),
        ("explain=yes", "invalid_request"),
    ],
)
def test_predict_refuses_bad_options(client: Client, query: str, code: str) -> None:
    reply = client.post(f"/predict?{query}", data=encoded())
    error = read(reply).error
    assert error is not None and error.code == code
    assert reply.status_code == HTTP_STATUS[code]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_too_large_is_refused_unread(client: Client, chunked: bool) -> None:
    body = io.BytesIO(bytes(5_000_000))
    sized: dict[str, Any] = {"environ_overrides": {"wsgi.input_terminated": True}} if chunked else {}
    headers = {} if chunked else {"Content-Length": "5000000"}
    reply = client.post("/predict", input_stream=body, headers=headers, **sized)
    error = read(reply).error
    assert reply.status_code == 413 and error is not None
    assert error.message == "the body is too large; at most 100,000 bytes are allowed"
    assert body.tell() < 200_000


@pytest.mark.parametrize("path", ["/", "/dead"])
def test_an_internal_error_while_reading_an_event_is_a_nack(
    client: Client, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr("functions.entrypoints.push.from_http", fail)
    before = bootstrap.request_log().counts()["outcomes"]["nacked"]
    reply = client.post(path, **pushed(encoded()))
    assert (reply.status_code, reply.get_data()) == (503, b"not now; deliver it again\n")
    assert bootstrap.request_log().counts()["outcomes"]["nacked"] == before + 1


def test_internal_errors_are_503_without_details(client: Client, engine: BrightnessEngine) -> None:
    engine.failure = RuntimeError("secret detail")
    reply = client.post("/predict", data=encoded())
    error = read(reply).error
    assert reply.status_code == 503 and error is not None and error.code == "unavailable"
    assert "secret" not in reply.get_data(as_text=True)
    reply = client.post("/", **pushed(encoded()))
    assert reply.status_code == 503 and "secret" not in reply.get_data(as_text=True)


def test_events_are_answered_and_acked(client: Client, responses: MemoryResponses) -> None:
    assert client.post("/", **pushed(encoded(), request_id="r1")).status_code == 204
    assert client.post("/", **pushed(b"junk", request_id="r2")).status_code == 204
    assert [(r.request_id, r.status, r.delivery_attempt) for r in responses.published] == [
        ("r1", "ok", 2),
        ("r2", "error", 2),
    ]


def test_a_dead_letter_is_announced(client: Client, responses: MemoryResponses) -> None:
    reply = client.post("/dead", **pushed(encoded(), request_id="r1", CloudPubSubDeadLetterSourceDeliveryCount="20"))
    assert reply.status_code == 204
    assert responses.published[0].error is not None and responses.published[0].error.code == "unavailable"


def test_a_publish_that_fails_is_a_nack(client: Client, responses: MemoryResponses) -> None:
    responses.failure = TimeoutError("no broker")
    assert client.post("/", **pushed(encoded())).status_code == 503
    assert client.post("/dead", **pushed(encoded())).status_code == 503


@pytest.mark.parametrize("body", [b"", b"{}", b'{"message": {"data": "%"}}', b"<html>"])
def test_malformed_events_are_400(client: Client, responses: MemoryResponses, body: bytes) -> None:
    reply = client.post("/", data=body)
    assert reply.status_code == 400 and responses.published == []
    assert "must be a Pub/Sub push body" in reply.get_data(as_text=True) or "base64" in reply.get_data(as_text=True)


def test_an_event_too_large_is_413(client: Client) -> None:
    assert client.post("/", data=b'"' + b"x" * 15_000_001 + b'"').status_code == 413


def test_other_paths_and_methods(client: Client) -> None:
    assert "curl" in client.get("/").get_data(as_text=True)
    assert client.head("/").status_code == 200
    assert client.get("/health").get_json()["status"] == "ok"
    assert client.get("/ready").get_json()["model"] == "fake"
    assert client.get("/nope").status_code == 404
    reply = client.put("/predict")
    assert reply.status_code == 405 and reply.headers["Allow"] == "POST"


def test_a_worker_that_is_not_ready_answers_503_without_details(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Handler:
        raise OSError("secret path")

    monkeypatch.setattr(bootstrap, "_handler", broken)
    reply = client.get("/ready")
    assert reply.status_code == 503 and "secret" not in reply.get_data(as_text=True)


def test_invalid_settings_are_503_without_details(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE", "onnx")
    forget_settings()
    app = create_app("serve", str(root / "functions" / "main.py")).test_client()
    for reply in (app.get("/ready"), app.post("/predict", data=encoded()), app.post("/", **pushed(encoded()))):
        assert reply.status_code == 503 and "onnx" not in reply.get_data(as_text=True)
    assert app.get("/health").status_code == 200


@pytest.mark.parametrize("target", ["on_request", "on_upload"])
def test_events_have_their_own_function_targets(
    root: Path, handler: Handler, responses: MemoryResponses, target: str
) -> None:
    app = create_app(target, str(root / "functions" / "main.py")).test_client()
    resource = {"bucket": "bucket", "name": "a", "size": "9"}
    headers = {"ce-type": "google.cloud.storage.object.v1.finalized", "ce-id": "e1", "ce-specversion": "1.0"}
    assert app.post("/", data=json.dumps(resource), headers=headers).status_code == 204
    assert app.post("/", **pushed(encoded())).status_code == 204
    assert [r.status for r in responses.published] == ["ok", "ok"]


def test_predict_has_its_own_function_target(root: Path, handler: Handler) -> None:
    app = create_app("predict", str(root / "functions" / "main.py")).test_client()
    assert app.post("/", data=encoded()).status_code == 200


def test_the_composed_worker_serves_the_shipped_model(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p")
    monkeypatch.setenv("HTTP_ENDPOINT", "on")
    forget_settings()
    bootstrap._handler.cache_clear()
    app = create_app("serve", str(root / "functions" / "main.py")).test_client()
    assert app.get("/ready").get_json()["engine"] in {"litert", "savedmodel"}
    response = read(app.post("/predict?top_k=3", data=encoded("JPEG", (600, 400), "RGB")))
    assert response.model is not None and response.model.name == "fashion-mnist"
    assert len(response.predictions) == 3 and response.explanation is None
    explained = read(app.post("/predict?top_k=3&explain=true", data=encoded("JPEG", (600, 400), "RGB")))
    assert explained.predictions == response.predictions
    assert explained.explanation is not None and explained.explanation.method == "class_activation"
    engine_of(bootstrap.handler()).close()
    forget_settings()
    bootstrap._handler.cache_clear()
