"""The nightly batch: `python -m functions.entrypoints.batch_publish` asks about each image under a prefix.

It publishes references, which the worker answers as it answers any request; Terraform's `nightly` runs it as a job.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import GoogleAuthError
from google.cloud import pubsub_v1, storage

from functions.messages.contract import ObjectRef, upload_id
from functions.observability.json_logging import configure
from functions.settings import BUCKET

log = logging.getLogger(
    "functions.entrypoints.batch_publish"
)  # by name: under -m, __name__ is __main__, whose logs nobody shows

PENDING = 1_000
"""How many requests may wait for the broker at once: a bucket may hold more than fits in memory."""


def images(bucket: str, prefix: str, since: datetime | None = None) -> Iterator[ObjectRef]:
    """The objects under a prefix that were written at `since` or later, as they are now; folder markers are none."""
    for blob in storage.Client().list_blobs(bucket, prefix=prefix):
        if blob.size and not blob.name.endswith("/") and (since is None or blob.time_created >= since):
            yield ObjectRef(bucket, blob.name, blob.generation)


def ask(topic: str, found: Iterator[ObjectRef]) -> int:
    """Publish a request for each, under the id that an upload would have; gives how many the broker has."""
    count = 0
    pending: deque[pubsub_v1.publisher.futures.Future] = deque()
    with pubsub_v1.PublisherClient() as publisher:
        for ref in found:
            count += 1
            body = json.dumps({"image_uri": ref.uri}).encode()
            pending.append(
                publisher.publish(topic, body, request_id=upload_id(ref.bucket, ref.name, ref.generation or 0))
            )
            if len(pending) == PENDING:
                pending.popleft().result()
        for future in pending:
            future.result()
    return count


def main(argv: Sequence[str] | None = None) -> int:
    """Ask once: 0, or 1 when Google refused or was not there; what was asked before that may be asked again."""
    parser = argparse.ArgumentParser(
        prog="python -m functions.entrypoints.batch_publish",
        description="Publish a request for each image under a prefix of a bucket.",
        epilog="Example: python -m functions.entrypoints.batch_publish gs://photos/2026/ --topic projects/P/topics/T",
    )
    parser.add_argument("place", type=_place, help="gs://bucket/prefix")
    parser.add_argument("--topic", required=True, help="where requests go: projects/P/topics/T")
    parser.add_argument("--hours", type=float, help="only images that were written in the last so many hours")
    args = parser.parse_args(argv)
    configure("INFO", "")
    bucket, prefix = args.place
    since = None if args.hours is None else datetime.now(UTC) - timedelta(hours=args.hours)
    try:
        count = ask(args.topic, images(bucket, prefix, since))
    except (GoogleAPIError, GoogleAuthError) as exc:
        log.error("not all was asked: %s", exc)
        return 1
    log.info("asked", extra={"bucket": bucket, "prefix": prefix, "requests": count})
    return 0


def _place(text: str) -> tuple[str, str]:
    bucket, _, prefix = text.removeprefix("gs://").partition("/")
    if not text.startswith("gs://") or not BUCKET.fullmatch(bucket):
        raise argparse.ArgumentTypeError(f"it is {text!r}; it must look like gs://bucket/prefix")
    return bucket, prefix


if __name__ == "__main__":
    sys.exit(main())
