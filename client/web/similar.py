"""The rows of the page that resemble one: the search of `predictions similar`, in the features of the job store."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from client.gcp import UsageError
from client.jobs.store import JobStore
from client.similarity.search import most_similar
from client.similarity.vectors import Vectors, decoded, vector_of
from client.text import printable
from client.web.page_files import PageFiles
from client.web.row import to_json

TOP = 10
"""Rows that are found: as many as `predictions similar` lists."""

MAX_IMAGES = 100_000
"""The newest images of the store that are searched: as many as an index has. They take some seconds."""


class SimilarRows:
    """Searches the job store. Callable from any thread; one search runs at a time, which bounds memory."""

    def __init__(self, store: JobStore, files: PageFiles) -> None:
        self._store, self._files, self._searching = store, files, threading.Lock()

    def of(self, job: str, number: int) -> dict[str, Any]:
        """Return `similar`, rows with their `similarity`, the most similar first, and how many were `searched`.

        Of equal ones, the newest comes first. Raises UsageError for a row without features, and StoreError.
        """
        record = self._store.record(job, number)
        if record is None:
            raise UsageError(f"job {printable(job)} has no image {number}")
        if not record.features:
            raise UsageError("this image has no features: turn on Similar images, and send it again")
        vector, places, own = vector_of(record), list[tuple[str, int]](), (job, number)

        def parts() -> Iterator[Vectors]:
            for page in self._store.features(record.model_digest, MAX_IMAGES):
                places.extend((each[0], each[1]) for each in page)
                yield _stacked(page, vector.size)

        with self._searching:
            found = most_similar(parts(), vector, TOP + 1)
        nearest = [(*places[place], similarity) for place, similarity in found if places[place] != own]
        return {
            "similar": [self._row(*each) for each in nearest[:TOP]],
            "searched": len(places) - (own in places),
        }

    def _row(self, job: str, number: int, similarity: float) -> dict[str, Any]:
        record = self._store.record(job, number)
        assert record, "images are never removed from a job"
        return to_json(self._store.find(job), number, record, self._files.kept_of(job, number)) | {
            "similarity": similarity
        }


def _stacked(page: list[tuple[str, int, str, str]], width: int) -> Vectors:
    """Return the features of several images as [images, width]. Raises UsageError for damaged ones."""
    vectors = []
    for _, _, file, text in page:
        vector = decoded(text, file)
        if vector.size != width:
            raise UsageError(
                f"{printable(file)} has {vector.size:,} features and this image {width:,}, of the same model"
            )
        vectors.append(vector)
    return np.stack(vectors) if vectors else np.zeros((0, width), np.float32)
