"""The smoke test: sends one image through every entry point of a deployment, and reports one line for each."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from client.gcp import Cloud
from client.images import ImageFile
from client.results.request_tracker import Outcome
from client.text import plain, printable
from infra import entry_points
from infra.entry_points import EntryPoint, send_through

IMAGE = Path("client") / "samples" / "sneaker.jpg"


@dataclass(frozen=True, slots=True)
class SmokeResult:
    """The result of one entry point."""

    entry_point: str
    ok: bool
    text: str

    def __str__(self) -> str:
        return f"{'ok' if self.ok else 'fail':<4}  {self.entry_point:<6}  {printable(self.text)}"


def all_entry_points(
    cloud: Cloud, bucket: str, url: str, token: Callable[[], str], limit_s: float
) -> dict[str, EntryPoint]:
    """All entry points; HTTP only with a `url`. Each run uploads to a new folder, so that nothing is replaced."""
    found = {
        "topic": entry_points.topic(cloud),
        "bucket": entry_points.bucket(cloud, bucket, f"smoke/{uuid.uuid4().hex}"),
    }
    return found | ({"HTTP": entry_points.http(url, limit_s, token)} if url else {})


def lines(entry_points: Mapping[str, EntryPoint], image: ImageFile, limit_s: float) -> Iterator[SmokeResult]:
    """Send the image through each entry point in turn. An exception becomes a failed line."""
    for name, entry_point in entry_points.items():
        try:
            [outcome] = send_through(entry_point, [image], limit_s)
        except Exception as exc:
            yield SmokeResult(name, False, plain(exc))
        else:
            yield SmokeResult(name, outcome.ok, _describe(outcome))


def _describe(outcome: Outcome) -> str:
    response, what = outcome.response, outcome.image.name
    if response is None:
        return f"{what}: {outcome.problem}"
    if response.error:
        return f"{what}: {response.error.code}: {response.error.message}"
    best = max(response.predictions, key=lambda each: each.score, default=None)
    label = f"{best.label} {best.score:.4f}" if best else "no label"
    return f"{what}: {label}, by {response.model.name if response.model else '?'}, after {outcome.ms:.0f} ms"
