"""The error table, through a real entry point: stock client, broker, worker process, model. Exactly one response each.

Every permanent failure is answered once with its code, its message is gone, and the worker lives on. What asks for
nothing gets nothing.
"""

from __future__ import annotations

import gzip
import json
from base64 import b64encode
from dataclasses import dataclass, field

import pytest

from infra.local.twin import Delivery, Twin
from tests.pubsub_client import PubsubClient
from tests.samples import BAD_IMAGES, encoded

GOOD = encoded()


@dataclass(frozen=True)
class Case:
    """A message and the code of its response. None: no response; "ok": predictions."""

    code: str | None
    data: bytes = GOOD
    attributes: dict[str, str] = field(default_factory=dict)


def reference(uri: str) -> bytes:
    return json.dumps({"image_uri": uri}).encode()


def notification(
    code: str | None, name: str, event: str = "OBJECT_FINALIZE", size: str = "9", bucket: str = "uploads"
) -> Case:
    attributes = {"eventType": event, "bucketId": bucket, "objectId": name, "objectGeneration": "1"}
    return Case(code, json.dumps({"size": size}).encode(), attributes)


CASES = {
    **{name: Case(code, data) for name, (data, code) in BAD_IMAGES.items()},
    "text named .png": Case("invalid_image", b"hello", {"filename": "a.png", "content_type": "image/png"}),
    "no data, only attributes": Case("invalid_request", b""),
    "JSON without image_uri": Case("invalid_request", b'{"image": 1}'),
    "top_k = abc": Case("invalid_request", attributes={"top_k": "abc"}),
    "top_k = 0": Case("invalid_request", attributes={"top_k": "0"}),
    "top_k = 1000": Case("invalid_request", attributes={"top_k": "1000"}),
    "explain = yes": Case("invalid_request", attributes={"explain": "yes"}),
    "features = yes": Case("invalid_request", attributes={"features": "yes"}),
    "explain = 1 in JSON": Case("invalid_request", b'{"image_uri": "gs://uploads/there.png", "explain": 1}'),
    "unknown attribute": Case("ok", attributes={"colour": "blue"}),
    "unknown model": Case("unknown_model", attributes={"model": "resnet"}),
    "expired": Case("expired", attributes={"expires_at": "2020-01-01T00:00:00Z"}),
    "expires_at without a zone": Case("invalid_request", attributes={"expires_at": "2020-01-01T00:00:00"}),
    "missing object": Case("image_not_found", reference("gs://uploads/gone.png")),
    "missing generation": Case("image_not_found", reference("gs://uploads/there.png#12345")),
    "missing bucket": Case("image_not_found", reference("gs://no-such-bucket/gone.png")),
    "a bucket that is not allowed": Case("invalid_request", reference("gs://private/there.png")),
    "a notification of a bucket that is not allowed": notification("invalid_request", "there.png", bucket="private"),
    "an object that is there": Case("ok", reference("gs://uploads/there.png")),
    "an object with nothing in it": Case("invalid_image", reference("gs://payloads/empty.png")),
    "an object that is no gzip, labelled gzip": Case("invalid_image", reference("gs://payloads/labelled.png")),
    "an object in gzip": Case("ok", reference("gs://payloads/packed.png")),
    "an object under a customer's key": Case("invalid_request", reference("gs://payloads/locked.png")),
    "a name that no object has": notification("image_not_found", "a\nb.png"),
    "JSON after a line break": Case("ok", b"\n" + reference("gs://uploads/there.png")),
    "JSON after a byte order mark": Case("ok", b"\xef\xbb\xbf " + reference("gs://uploads/there.png")),
    "top_k = 0 in JSON": Case("invalid_request", b'{"image_uri": "gs://uploads/there.png", "top_k": 0}'),
    "an unknown model in JSON": Case("unknown_model", b'{"image_uri": "gs://uploads/there.png", "model": "resnet"}'),
    "an unknown field in JSON": Case("invalid_request", b'{"image_uri": "gs://uploads/there.png", "topk": 1}'),
    "base64 in JSON": Case("invalid_request", b'{"image": "iVBORw0KGgo="}'),
    "base64": Case("invalid_image", b64encode(GOOD)),
    "http://": Case("invalid_request", reference("http://127.0.0.1/x.png")),
    "file://": Case("invalid_request", reference("file:///etc/passwd")),
    "a response nobody waits for": Case("ok", attributes={"reply_to": "nobody"}),
    "notification of an object that is gone": notification("image_not_found", "gone.png"),
    "notification of a folder marker": notification(None, "folder/"),
    "notification of a delete": notification(None, "deleted.png", event="OBJECT_DELETE"),
    "notification of an empty object": notification(None, "empty.png", size="0"),
}


@pytest.mark.parametrize("worker", ["push", "pull"])
def test_the_error_table(worker: Delivery, monkeypatch: pytest.MonkeyPatch) -> None:
    with Twin(worker=worker, worker_env={"ALLOWED_BUCKETS": "uploads,payloads,no-such-bucket"}) as twin:
        for name, value in twin.env.items():
            monkeypatch.setenv(name, value)
        with PubsubClient(twin.env["GOOGLE_CLOUD_PROJECT"]) as pubsub:
            pubsub.storage.create_bucket("private").blob("there.png").upload_from_string(GOOD, timeout=10)
            pubsub.storage.bucket("payloads").blob("empty.png").upload_from_string(b"", timeout=10)
            put(pubsub, "labelled.png", GOOD, encoding="gzip")
            put(pubsub, "packed.png", gzip.compress(GOOD), encoding="gzip")
            put(pubsub, "locked.png", GOOD, key=bytes(32))
            expected = {pubsub.drop("there.png", GOOD): "ok"} | publish_all(pubsub)
            answers: dict[str, list[str]] = {request_id: [] for request_id in expected}
            for response in pubsub.responses(
                {request_id for request_id, code in expected.items() if code}, copies_for_s=1.0
            ):
                answers[response.request_id].append(response.error.code if response.error else "ok")
            assert answers == {request_id: [code] if code else [] for request_id, code in expected.items()}

            pubsub.publish(GOOD, request_id="the worker lives")
            assert [r.status for r in pubsub.responses({"the worker lives"})] == ["ok"]
            assert pubsub.backlog("dead_predict-sub") == []
            if worker == "push":
                assert pubsub.backlog("req_predict-sub") == []


def put(pubsub: PubsubClient, name: str, data: bytes, encoding: str | None = None, key: bytes | None = None) -> None:
    blob = pubsub.storage.bucket("payloads").blob(name, encryption_key=key)
    blob.content_encoding = encoding
    blob.upload_from_string(data, timeout=10)


def publish_all(pubsub: PubsubClient) -> dict[str, str | None]:
    """Publish every case; gives request_id to code."""
    expected: dict[str, str | None] = {}
    for name, case in CASES.items():
        attributes = dict(case.attributes)
        if "eventType" in attributes:
            request_id = f"{attributes['bucketId']}/{attributes['objectId']}#1"
        else:
            request_id = attributes["request_id"] = f"the id of: {name}"
        pubsub.publish(case.data, **attributes)
        expected[request_id] = case.code
    return expected
