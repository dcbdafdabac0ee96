"""Jobs of a job store whose images have true labels, answered by two versions of the shipped model.

Images are real test images, and real models score them; only the messages between client and worker are left out.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from PIL import Image

from client.images import ImageFile
from client.jobs.definition import Definition
from client.jobs.store import JobStore
from client.transport.base import Sent
from client.web.settings import MARK
from functions.messages.contract import Error, Model, Response, Source, Timing, encode_time
from functions.runtime.traffic_split import side_of
from model.artifact.load import load_engine, read_artifact
from model.predictor import Predictor
from model.registry.aliases import CANDIDATE, STABLE
from model.registry.registry import Registry
from model.training.data import idx
from tests.compared_models import dimmed
from tests.registry_models import NAME, SHIPPED, set_alias

PERCENT = 30.0
"""The share of the canary."""

_BEGUN = datetime(2026, 11, 29, 12, tzinfo=UTC)

Answer = Callable[[str, bytes], Response]


@dataclass(frozen=True, slots=True)
class MeasuredJobs:
    """A folder with `jobs.db`, `registry`, `photos` (a folder for each label) and `labels.csv`, of `count` images.

    `published`: the job of a command that has sent photos/. `dropped`: one of the page with the same images and names
    without folders. `split`: one of the page, of which a canary answered its share.
    """

    folder: Path
    published: str
    dropped: str
    split: str
    versions: tuple[str, str]

    @property
    def labels(self) -> bytes:
        return (self.folder / "labels.csv").read_bytes()


def measured_jobs(folder: Path, data: Path, count: int = 240) -> MeasuredJobs:
    """Make the jobs in `folder`; `data` is the folder of Fashion-MNIST."""
    files = _photos(folder, data, count)
    registry = Registry.at(str(folder / "registry"))
    artifacts = {STABLE: SHIPPED, CANDIDATE: dimmed(folder / "candidate", "9.0.0", 0.5)}
    with closing(registry):
        targets = {alias: registry.push(artifact).target for alias, artifact in artifacts.items()}
        set_alias(registry, targets[STABLE])
        set_alias(registry, targets[CANDIDATE], CANDIDATE, percent=PERCENT)
    answers = {alias: _answers(artifact) for alias, artifact in artifacts.items()}
    named = [(name, ImageFile(Path("photos", name), name), folder / "photos" / name) for name in files]
    bare = [(name, ImageFile(Path(name.rpartition("/")[2]), name), folder / "photos" / name) for name in files]
    here: dict[str, Any] = {"folder": str(folder), "machine": socket.gethostname()}
    made = Definition(command="publish", described="photos/", client_id="c", topic="req", **here)
    page = Definition(
        command="predict", described="images of the page", url="http://127.0.0.1:1", selection=MARK, **here
    )
    with JobStore(folder / "jobs.db") as store:

        def job(definition: Definition, images: list[tuple[str, ImageFile, Path]], canary: float = 0.0) -> str:
            job = store.create(definition)
            for _ in job.add([ImageFile(each.path, each.name, f"{job.id}-{name}") for name, each, _ in images]):
                pass
            for number, (name, image, path) in enumerate(images):
                key = f"{job.id}-{name}"
                side = (canary and side_of(key, {CANDIDATE: canary})) or STABLE
                job.sent(
                    ImageFile(image.path, image.name, key),
                    Sent(key, ""),
                    (_BEGUN + timedelta(seconds=number)).timestamp(),
                )
                job.receive(answers[side](key, path.read_bytes()))
            job.release()
            return job.id

        ids = job(made, named), job(page, bare), job(page, bare, PERCENT)
    return MeasuredJobs(folder, *ids, (targets[STABLE].version, targets[CANDIDATE].version))


def _photos(folder: Path, data: Path, count: int) -> list[str]:
    """Write test images to photos/LABEL/, and labels.csv; a label with a slash cannot be a folder and is left out."""
    test = idx.load("test", data).take(slice(2 * count))
    lines, names = ["file,label"], list[str]()
    for number, (pixels, label) in enumerate(zip(test.images, test.labels, strict=True)):
        named = idx.FASHION_MNIST_LABELS[label]
        if "/" in named or len(names) == count:
            continue
        (folder / "photos" / named).mkdir(parents=True, exist_ok=True)
        names.append(f"{named}/{number:05}.png")
        Image.fromarray(pixels).save(folder / "photos" / names[-1])
        lines.append(f"{number:05}.png,{named}")
    (folder / "photos" / names[0]).write_bytes(b"no image")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return names


def _answers(folder: Path) -> Answer:
    artifact = read_artifact(folder)
    name, engine = load_engine(artifact, "litert")
    predictor, model = Predictor(engine), Model(NAME, artifact.version, artifact.digest, name)
    count = 0

    def answer(request_id: str, image: bytes) -> Response:
        nonlocal count
        count += 1
        at = encode_time(_BEGUN + timedelta(seconds=count))
        timing = Timing(1.0, 0.0, 0.5 + count % 7 / 10, 0.8 + count % 11 / 10, 3.0 + count % 13 / 10)
        try:
            found = predictor.predict(predictor.prepare(image), 3)
        except ValueError as exc:
            error = Error(getattr(exc, "code", "invalid_image"), "the bytes are not an image that can be read")
            return Response(request_id, error=error, model=model, timing_ms=timing, completed_at=at)
        return Response(request_id, found, model=model, source=Source(), timing_ms=timing, completed_at=at)

    return answer
