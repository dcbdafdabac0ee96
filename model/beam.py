"""Images in bulk: an artifact as a model of Apache Beam's RunInference, on Dataflow or any other runner.

Needs requirements-beam.txt, in an environment of its own; nothing else imports this module. What an image is answered
with is what the worker would say: the same predictor, the same words about bad images.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.ml.inference.base import ModelHandler

from model.artifact.fetch import fetch_artifact
from model.artifact.load import AUTO, load_engine, read_artifact
from model.engines.base import Images
from model.errors import InvalidImage
from model.images.limits import Limits
from model.labels import Prediction
from model.predictor import Predictor


@dataclass(frozen=True, slots=True, weakref_slot=True)  # Beam holds it by a weak reference
class Loaded:
    """A model that scores, and its name as answers have it."""

    predictor: Predictor
    model: Mapping[str, str]


class ArtifactModelHandler(ModelHandler):  # type: ignore[misc]  # Beam's types are not looked at
    """Answers image files (bytes) with dicts: `status`, `predictions`, `error` and `model` of the response's schema.

    A bad image is answered with its error; whatever else goes wrong is raised, and the runner's to try again.
    `artifact`: a folder or gs://bucket/prefix; `cache`: where one from a bucket is kept on each machine; `threads`: CPU
    threads of one call. For images with their names, wrap it in Beam's KeyedModelHandler.
    """

    def __init__(
        self,
        artifact: str,
        *,
        engine: str = AUTO,
        threads: int = 1,
        top_k: int = 5,
        max_batch_size: int = 32,
        max_image_bytes: int = 20_000_000,
        cache: str = "/tmp/artifacts",  # nosec B108  # what is in it is verified
    ) -> None:
        super().__init__(max_batch_size=max_batch_size)
        self._artifact, self._engine, self._threads, self._cache = artifact, engine, threads, cache
        self._top_k, self._max_image_bytes = top_k, max_image_bytes

    def load_model(self) -> Loaded:
        """Fetch, verify and load the artifact, once a process; its threads share it. Raises ArtifactError."""
        artifact = read_artifact(fetch_artifact(self._artifact, Path(self._cache)))
        name, engine = load_engine(artifact, self._engine, self._threads)
        about = {"name": artifact.name, "version": artifact.version, "digest": artifact.digest, "engine": name}
        return Loaded(Predictor(engine, Limits(max_bytes=self._max_image_bytes)), about)

    def run_inference(
        self, batch: Sequence[bytes], model: Loaded, inference_args: Mapping[str, Any] | None = None
    ) -> Iterator[dict[str, Any]]:
        """An answer for each image, in their order: what can be read of a batch is scored at once."""
        prepared = [_prepared(image, model.predictor) for image in batch]
        good = [each for each in prepared if not isinstance(each, InvalidImage)]
        predicted = iter(model.predictor.predict_each(good, self._top_k) if good else ())
        for each in prepared:
            yield _answer(model, (), each) if isinstance(each, InvalidImage) else _answer(model, next(predicted))

    def get_num_bytes(self, batch: Sequence[bytes]) -> int:
        return sum(map(len, batch))


def read_image(path: str, limit: int = 20_000_000) -> tuple[str, bytes]:
    """A file's path and bytes, wherever Beam can read: of one that is over the limit no more than shows that it is."""
    with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        return path, file.read(limit + 1)


def _prepared(image: bytes, predictor: Predictor) -> Images | InvalidImage:
    try:
        return predictor.prepare(image)
    except InvalidImage as exc:
        return exc


def _answer(model: Loaded, predictions: Sequence[Prediction], error: InvalidImage | None = None) -> dict[str, Any]:
    return {
        "status": "error" if error else "ok",
        "predictions": [asdict(each) for each in predictions],
        "error": {"code": error.code, "message": str(error)} if error else None,
        "model": dict(model.model),
    }
