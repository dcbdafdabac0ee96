"""The one row of each image: predictions count before an error, which an earlier attempt may have had."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from client.gcp import UsageError
from client.results.record import Record
from client.text import printable


def by_image(rows: Iterable[tuple[str | None, Record]]) -> tuple[dict[str, Record], set[str]]:
    """Return the row of each image, and the images with several predictions. `rows`: image and row; None is left out.

    An image with several predictions has its first one.
    """
    kept: dict[str, Record] = {}
    repeated: set[str] = set()
    for image, record in rows:
        if image is None:
            continue
        if image not in kept or (record.status == "ok" and kept[image].status != "ok"):
            kept[image] = record
        elif record.status == "ok":
            repeated.add(image)
    return kept, repeated


def refuse_repeated(images: Collection[str], where: str = "the results") -> None:
    """Raise UsageError when there are images with several predictions: which one is meant is not known."""
    if images:
        raise UsageError(
            f"{printable(min(images)[:150])} has several rows with predictions in {where}; give the results of one run"
        )


def refuse_multi_label(records: Iterable[Record]) -> None:
    """Raise UsageError when a row is of a multi-label model: one true label says nothing about its other labels."""
    for record in records:
        if record.labels is not None:
            raise UsageError(
                f"{printable(record.model_name[:100])} is multi-label; accuracy is measured only for models whose "
                "labels exclude each other"
            )
