"""Bucket prefixes are listed page by page from the twin's storage, through Google's client."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from client.gcp import Cloud, UsageError
from client.images import StoredImage
from client.sources.objects import PAGE_SIZE, object_lister
from client.sources.selection import Selection
from client.sources.source import Source
from client.text import SendError
from functions.messages.contract import ObjectRef
from infra.local.storage.server import StorageServer

COUNT = PAGE_SIZE + 100
ODD = ["odd/#1.jpg", "odd/a b?.jpg", "odd/é\x1b.jpg", "odd/*.jpg", "odd/..\\x.jpg", "odd/notes.txt"]


@pytest.fixture(scope="module")
def server() -> Iterator[StorageServer]:
    with StorageServer() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", server.url)
        client = storage.Client(project="p", credentials=AnonymousCredentials())
        bucket = client.create_bucket("photos")
        first = bucket.blob("many/00000.jpg")
        first.upload_from_string(b"content")
        for start in range(1, COUNT, 100):
            with client.batch():
                for number in range(start, min(start + 100, COUNT)):
                    bucket.copy_blob(first, bucket, f"many/{number:05}.jpg")
        for name in ODD:
            bucket.blob(name).upload_from_string(b"content")
        client.close()
        yield server


@pytest.fixture
def requested(server: StorageServer, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, list[str]]]:
    """The query of each listing that is asked for, as Google's client sends it."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
    queries: list[dict[str, list[str]]] = []
    send = requests.Session.send

    def recording(session: requests.Session, request: requests.PreparedRequest, **settings: Any) -> requests.Response:
        address = urlsplit(str(request.url))
        if address.path.endswith("/o"):  # the library also asks for the bucket, in a thread of its own
            queries.append(parse_qs(address.query))
        return send(session, request, **settings)

    monkeypatch.setattr(requests.Session, "send", recording)
    return queries


def source(address: str) -> Source:
    return Source(Selection([address]), object_lister(Cloud("p")))


def test_a_page_is_requested_when_its_objects_are_needed(requested: list[dict[str, list[str]]]) -> None:
    images = source("gs://photos/many/").images()
    assert not requested
    assert [image.name for image in islice(images, PAGE_SIZE)] == [f"{number:05}.jpg" for number in range(PAGE_SIZE)]
    assert len(requested) == 1
    assert sum(1 for _ in images) == COUNT - PAGE_SIZE and len(requested) == 2
    for query in requested:
        assert query["fields"] == ["items(name,generation,size),nextPageToken"]
        assert query["maxResults"] == [str(PAGE_SIZE)] and query["prefix"] == ["many/"]


def test_references_have_the_generation_and_size_of_their_objects(server: StorageServer, requested: object) -> None:
    client = storage.Client(project="p", credentials=AnonymousCredentials())
    blob = client.bucket("photos").get_blob("many/00000.jpg")
    client.close()
    assert list(source("gs://photos/many/00000.jpg").images()) == [
        StoredImage(ObjectRef("photos", "many/00000.jpg", blob.generation, 7), "00000.jpg")
    ]


def test_objects_with_odd_names_are_found(requested: object) -> None:
    made = source("gs://photos/odd/")
    images = {image.location.removeprefix("gs://photos/"): image.name for image in made.images()}
    assert set(images) == set(ODD) - {"odd/notes.txt"} and made.left_out == {".txt": 1}
    assert images["odd/..\\x.jpg"] == "x.jpg"
    for name in ODD:
        assert [image.location for image in source(f"gs://photos/{name}").images()] == [f"gs://photos/{name}"]


def test_a_bucket_that_does_not_exist_is_named_in_one_sentence(requested: object) -> None:
    with pytest.raises(
        UsageError, match=r"^gs://nowhere cannot be listed: NotFound: the bucket nowhere does not exist$"
    ):
        list(source("gs://nowhere/x/").images())


def test_a_prefix_without_objects_is_a_problem(requested: object) -> None:
    made = source("gs://photos/nope/*.jpg")
    assert not list(made.images())
    assert made.problems == [
        "no image object is at gs://photos/nope/*.jpg; the names of objects are literal, and no globs"
    ]


def test_a_listing_that_breaks_off_is_an_error(
    server: StorageServer, requested: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client.gcp.RETRY_S", 0.2)
    images = source("gs://photos/many/").images()
    assert len(list(islice(images, PAGE_SIZE))) == PAGE_SIZE

    def broken(session: object, request: object, **settings: object) -> requests.Response:
        raise requests.ConnectionError("reset")

    monkeypatch.setattr(requests.Session, "send", broken)
    with pytest.raises(SendError, match=r"^gs://photos cannot be listed: "):
        list(images)


def test_a_bucket_that_may_not_be_listed_is_named(requested: object, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(session: object, request: requests.PreparedRequest, **settings: object) -> requests.Response:
        response = requests.Response()
        response.status_code, response.request = 403, request
        return response

    monkeypatch.setattr(requests.Session, "send", refused)
    why = "^gs://photos cannot be listed: Forbidden: your account may not use the bucket photos$"
    with pytest.raises(UsageError, match=why):
        list(source("gs://photos/").images())
