"""Every exception of storage, decoding and scoring ends as the tables of docs/errors.md say: answered, or nacked."""

from __future__ import annotations

import http.client
import zlib
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import google.auth.exceptions
import pytest
import requests
import urllib3
from google.api_core import exceptions
from google.cloud.storage.exceptions import DataCorruption, InvalidPathError, InvalidResponse
from PIL import UnidentifiedImageError

from functions.errors import PERMANENT, ImageNotFound, InvalidRequest, UnknownModel
from functions.gcp.object_store import BucketObjects
from functions.messages.contract import Envelope
from functions.runtime.payload_memory import PayloadBudget
from model.engines.base import Images
from model.predictor import Predictor
from tests.fakes import BrightnessEngine, fake_handler, handle
from tests.samples import encoded

REFERENCE = b'{"image_uri": "gs://photos/a.png"}'
TRANSIENT = "transient"

ROOTS: tuple[type[Exception], ...] = (
    exceptions.GoogleAPIError,
    google.auth.exceptions.GoogleAuthError,
    *(DataCorruption, InvalidPathError, InvalidResponse),
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    *(OSError, MemoryError, EOFError, zlib.error, ArithmeticError, LookupError, ValueError, TypeError, RuntimeError),
    *(*PERMANENT, UnidentifiedImageError),
)
MODULES = ("builtins", "google", "requests", "urllib3", "http", "socket", "ssl", "zlib", "PIL", "functions", "model")


def family(kind: type[Exception]) -> Iterator[type[Exception]]:
    yield kind
    for heir in kind.__subclasses__():
        if heir.__module__.partition(".")[0] in MODULES:
            yield from family(heir)


CLASSES = sorted({kind for root in ROOTS for kind in family(root)}, key=lambda kind: (kind.__module__, kind.__name__))


def made(kind: type[Exception]) -> Exception:
    """An exception of a class; without its constructor where that needs more than a text."""
    try:
        return kind("said")
    except (TypeError, AttributeError):
        return kind.__new__(kind, "said")


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "docs" / "errors.md").read_text()


def decided(page: str, heading: str, kind: type[Exception]) -> str:
    """What the table of the page that begins with `heading` says about a class: a code, or transient."""
    rows = page[page.index(f"| {heading} |") :].split("\n\n")[0].splitlines()[2:]
    codes = {}
    for row in rows:
        _, names, response = (cell.strip() for cell in row.strip("|").split(" | "))
        for name in names.split(", "):
            codes[name.strip("`")] = response.strip("`")
    return next(codes[base.__name__] for base in kind.__mro__ if base.__name__ in codes)


def outcome(objects: BucketObjects | None, payload: bytes, predictor: Predictor | None = None) -> str:
    """How the delivery of a message ends: the code of its response, or transient."""
    delivery = handle(fake_handler(objects=objects, predictor=predictor), Envelope("m", payload))
    if delivery.response is None:
        assert not delivery.is_acked
        return TRANSIENT
    return delivery.response.error.code if delivery.response.error else "ok"


class FailingBlob:
    """An object that cannot be downloaded. `content_encoding`: its label."""

    size, content_encoding = 9, None

    def __init__(self, failure: Exception) -> None:
        self._failure = failure

    def reload(self, **limits: object) -> None:
        """Its size is known."""

    def download_to_file(self, file: object, **options: object) -> None:
        raise self._failure


def bucket(failure: Exception) -> BucketObjects:
    """Objects that Google's client cannot read: no server makes the client raise most of these classes."""
    objects = BucketObjects("p", {"photos"}, PayloadBudget(1_000_000))
    blob = FailingBlob(failure)
    client = SimpleNamespace(bucket=lambda name: SimpleNamespace(blob=lambda name, generation: blob))
    objects.__dict__["_client"] = client
    return objects


class FailingPredictor(Predictor):
    """Cannot decode any image."""

    def prepare(self, image: bytes) -> Images:
        raise self.failure

    failure: Exception


def failing(failure: Exception) -> Predictor:
    kind: Any = type("Failing", (FailingPredictor,), {"failure": failure})
    predictor: Predictor = kind(BrightnessEngine())
    return predictor


def test_the_classes_are_all_there() -> None:
    names = {kind.__name__ for kind in CLASSES}
    assert names >= {
        "NotFound",
        "RefreshError",
        "ContentDecodingError",
        "DataCorruption",
        "BrokenPipeError",
        "IncompleteRead",
    }
    assert len(CLASSES) > 150


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_each_exception_ends_as_the_page_says(kind: type[Exception], page: str) -> None:
    stored = decided(page, "while the object is read", kind)
    if not issubclass(kind, PERMANENT):  # Google's client raises none of ours
        assert outcome(bucket(made(kind)), REFERENCE) == stored
    if issubclass(kind, InvalidRequest | ImageNotFound) and kind is not UnknownModel:  # raised before
        return
    decoded = decided(page, "while the image is decoded and scored", kind)
    assert outcome(None, encoded(), failing(made(kind))) == decoded
    engine = BrightnessEngine()
    engine.failure = made(kind)
    assert outcome(None, encoded(), Predictor(engine)) == decoded


@pytest.mark.parametrize("status", [*range(300, 309), *range(400, 432), 451, *range(500, 512)])
def test_each_status_of_cloud_storage_ends_as_the_page_says(status: int, page: str) -> None:
    failure = exceptions.from_http_status(status, "said")
    decision = decided(page, "while the object is read", type(failure))
    assert outcome(bucket(failure), REFERENCE) == decision == ("image_not_found" if status == 404 else TRANSIENT)


@pytest.mark.parametrize(
    "said",
    [
        "The target object is encrypted by a customer-supplied encryption key.",
        '{"error": {"errors": [{"reason": "resourceIsEncryptedWithCustomerEncryptionKey"}]}}',
        "<Error><Code>ResourceIsEncryptedWithCustomerEncryptionKey</Code></Error>",
    ],
)
def test_an_object_under_a_customers_key_is_answered(said: str, page: str) -> None:
    assert outcome(bucket(exceptions.BadRequest(said)), REFERENCE) == "invalid_request"
    assert "| `BadRequest` with such a key | `invalid_request` |" in page


@pytest.mark.parametrize(
    "said", ["Bucket is a requester pays bucket but no user project provided.", "The Cloud KMS key is disabled."]
)
def test_a_setting_of_the_bucket_is_not_the_senders_fault(said: str) -> None:
    assert outcome(bucket(exceptions.BadRequest(said)), REFERENCE) == TRANSIENT


@pytest.mark.parametrize("failure", [partial(MemoryError, "no memory"), partial(TimeoutError, "no memory for 30 s")])
def test_a_lack_of_memory_for_the_object_is_transient(failure: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def reserve(self: PayloadBudget, size: int) -> nullcontext[None]:
        raise failure()

    monkeypatch.setattr(PayloadBudget, "reserve", reserve)
    assert outcome(bucket(AssertionError("not reached")), REFERENCE) == TRANSIENT
