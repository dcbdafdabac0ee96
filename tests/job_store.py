"""Makes jobs, images and responses for the tests of the client's job store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from client.images import AnyImage, ArchivedImage, ImageFile, StoredImage
from client.jobs.definition import Definition
from client.jobs.job import Job
from client.jobs.store import JobStore
from client.transport.base import Sent
from functions.messages.contract import Error, ObjectRef, Response
from model.labels import Prediction

PUBLISH = Definition(command="publish", described="photos/", client_id="c", response_topic="res", topic="req")


def files(count: int) -> list[ImageFile]:
    """Images that are files; none of them exists."""
    return [ImageFile(Path(f"photos/{number}.png"), f"{number}.png") for number in range(count)]


def one_of_each() -> list[AnyImage]:
    """A file, a member of an archive, an object, and a file whose name is not UTF-8."""
    return [
        ImageFile(Path("photos/a.png"), "a.png"),
        ArchivedImage(Path("photos/b.zip"), "in/b.png", "in/b.png"),
        StoredImage(ObjectRef("bucket", "2026/c.png", 7, 99), "c.png"),
        ImageFile(Path("photos/\udcff\x1b.png"), "\udcff\x1b.png"),
    ]


@contextmanager
def job_of(
    images: list[AnyImage] | list[ImageFile], path: Path | None = None, made: Definition = PUBLISH
) -> Iterator[Job]:
    """A job of these images, in memory without a path."""
    with JobStore(path) as store:
        job = store.create(made)
        for _ in job.add(images):
            pass
        yield job


def send(job: Job, image: AnyImage, request_id: str = "", sent_at: float = 1.0) -> str:
    """Record that an image of the job was sent; returns its request id."""
    request_id = request_id or image.request_id
    job.sent(image, Sent(request_id, f"trace of {request_id}"), sent_at)
    return request_id


def labelled(request_id: str, label: str = "Bag") -> Response:
    """A response with predictions."""
    return Response(request_id, (Prediction(label, 0.9),))


def refused(request_id: str, code: str = "invalid_image") -> Response:
    """An error response."""
    return Response(request_id, error=Error(code, "because"))
