"""Dropping pictures in the watched bucket: its notification is the request, the object's metadata its attributes."""

from __future__ import annotations

import time
from collections.abc import Sequence

from client.image_files import Picture
from client.results.request_tracker import Outcome, RequestTracker
from client.transport.topic import Bucket, Wishes, object_name
from functions.messages.contract import upload_id
from functions.messages.trace_context import HEADER, TraceContext

THREADS = 8


class Uploader:
    """Uploads pictures. `send` may be called from several threads."""

    def __init__(
        self, bucket: Bucket, tracker: RequestTracker, wishes: Wishes, reply_to: str | None, names: dict[Picture, str]
    ) -> None:
        self._bucket, self._tracker, self._wishes = bucket, tracker, wishes
        self._reply_to, self._names = reply_to, names

    def send(self, picture: Picture) -> None:
        """Upload one picture; its generation makes the request's id. Raises what went wrong."""
        trace = TraceContext.begin()
        metadata = self._wishes.attributes() | {HEADER: trace.header}
        if self._reply_to:
            metadata["reply_to"] = self._reply_to
        started = time.monotonic()
        ref = self._bucket.put(picture, self._names[picture], metadata)
        request_id = upload_id(ref.bucket, ref.name, ref.generation or 0)
        if self._reply_to:
            self._tracker.expect(request_id, picture, started, trace.trace_id)
        else:
            self._tracker.settle(Outcome(picture, request_id, trace_id=trace.trace_id))


def object_names(pictures: Sequence[Picture], prefix: str) -> dict[Picture, str]:
    """Each picture's object name; equal names are numbered, because the second object would replace the first."""
    names: dict[Picture, str] = {}
    taken: set[str] = set()
    for picture in pictures:
        name, number = object_name(picture.name, prefix), 1
        while name in taken:
            number += 1
            name = object_name(f"{number}-{picture.path.name}", prefix)
        taken.add(name)
        names[picture] = name
    return names
