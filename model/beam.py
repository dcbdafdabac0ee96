"""Batch prediction: an artifact as a model handler for Apache Beam's RunInference, on Dataflow or any other runner.

It needs requirements-beam.txt in a separate environment; no other module imports this one. Results equal those of the
worker: the same predictor and the same error messages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.ml.inference.base import ModelHandler

from model.artifact.fetch import fetch_artifact
from model.artifact.load import AUTO, load_engine, read_artifact
from model.engines.base import Images, Scores
from model.errors import InvalidImage
from model.images.limits import Limits
from model.labels import Prediction
from model.predictor import Predictor


@dataclass(frozen=True, slots=True, weakref_slot=True)  # Beam keeps a weak reference to it
class Loaded:
    """A loaded model, and the `model` object of its responses."""

    predictor: Predictor
    model: Mapping[str, str]


class ArtifactModelHandler(ModelHandler):  # type: ignore[misc]  # mypy skips Beam's types
    """Maps image files (bytes) to dicts with `status`, `predictions`, `multi_label`, `labels`, `error` and `model` of
    the response's schema.

    An invalid image gives an error response. Other errors are raised, so that the runner retries the batch.
    `artifact`: a folder or gs://bucket/prefix; `cache`: the folder on each machine for artifacts from a bucket;
    `threads`: CPU threads of one call. For images with names, wrap the handler in Beam's KeyedModelHandler.
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
        cache: str = "/tmp/artifacts",  # nosec B108  # every file in it is verified
    ) -> None:
        super().__init__(max_batch_size=max_batch_size)
        self._artifact, self._engine, self._threads, self._cache = artifact, engine, threads, cache
        self._top_k, self._max_image_bytes = top_k, max_image_bytes

    def load_model(self) -> Loaded:
        """Fetch, verify and load the artifact, once per process for all its threads. Raises ArtifactError."""
        artifact = read_artifact(fetch_artifact(self._artifact, Path(self._cache)))
        name, engine = load_engine(artifact, self._engine, self._threads)
        about = {"name": artifact.name, "version": artifact.version, "digest": artifact.digest, "engine": name}
        return Loaded(Predictor(engine, Limits(max_bytes=self._max_image_bytes)), about)

    def run_inference(
        self, batch: Sequence[bytes], model: Loaded, inference_args: Mapping[str, Any] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield a response for each image, in order. The valid images of a batch are scored in one call."""
        prepared = [_prepared(image, model.predictor) for image in batch]
        good = [each for each in prepared if not isinstance(each, InvalidImage)]
        rows = iter(model.predictor.engine.score(np.concatenate(good)) if good else ())
        for each in prepared:
            yield _refusal(model, each) if isinstance(each, InvalidImage) else self._response(model, next(rows))

    def _response(self, model: Loaded, row: Scores) -> dict[str, Any]:
        return _answer(model, model.predictor.rank(row, self._top_k), model.predictor.assigned(row))

    def get_num_bytes(self, batch: Sequence[bytes]) -> int:
        return sum(map(len, batch))


def read_image(path: str, limit: int = 20_000_000) -> tuple[str, bytes]:
    """A file's path and bytes, from any file system of Beam. Reads at most one byte more than `limit`."""
    with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        return path, file.read(limit + 1)


def _prepared(image: bytes, predictor: Predictor) -> Images | InvalidImage:
    try:
        return predictor.prepare(image)
    except InvalidImage as exc:
        return exc


def _answer(model: Loaded, predictions: Sequence[Prediction], labels: Sequence[str] | None) -> dict[str, Any]:
    return {
        "status": "ok",
        "predictions": [asdict(each) for each in predictions],
        "multi_label": labels is not None,
        "labels": list(labels or ()),
        "error": None,
        "model": dict(model.model),
    }


def _refusal(model: Loaded, error: InvalidImage) -> dict[str, Any]:
    why = {"code": error.code, "message": str(error)}
    return _answer(model, (), None) | {"status": "error", "error": why}
