"""The nightly batch: `python -m functions.entrypoints.batch_publish` publishes a request for each image under a prefix.

A request holds a reference to its image; with `--gather`, a message holds several. Terraform's variable `nightly` adds
a Cloud Run job that runs this command.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import GoogleAuthError
from google.cloud import pubsub_v1, storage

from functions.messages.contract import MAX_LINES, ObjectRef, encode_reference, upload_id
from functions.messages.image_lines import encode_line
from functions.messages.request_decoder import LINES_TYPE
from functions.observability.json_logging import configure
from functions.settings import BUCKET

# By name: under -m, __name__ is __main__, and json_logging.py shows the logger "functions".
log = logging.getLogger("functions.entrypoints.batch_publish")

MAX_IN_FLIGHT = 1_000
"""Maximum requests that wait for the broker at once. A bucket may hold more images than requests fit in memory."""


def images(bucket: str, prefix: str, since: datetime | None = None) -> Iterator[ObjectRef]:
    """Yield the current objects under a prefix, without folder markers and empty objects.

    `since`: yield only the objects that were written at that time or later.
    """
    for blob in storage.Client().list_blobs(bucket, prefix=prefix):
        if blob.size and not blob.name.endswith("/") and (since is None or blob.time_created >= since):
            yield ObjectRef(bucket, blob.name, blob.generation)


def publish_requests(topic: str, found: Iterator[ObjectRef], gather: int = 1) -> int:
    """Publish a request for each image, and return their number. The request_id is that of an upload of the image.

    `gather`: up to how many images share a message.
    """
    count = 0
    pending: deque[pubsub_v1.publisher.futures.Future] = deque()
    with pubsub_v1.PublisherClient() as publisher:
        while several := list(itertools.islice(found, gather)):
            count += len(several)
            ids = [upload_id(ref.bucket, ref.name, ref.generation or 0) for ref in several]
            if len(several) == 1:
                pending.append(publisher.publish(topic, encode_reference(several[0]), request_id=ids[0]))
            else:
                lines = b"\n".join(map(encode_line, ids, several))
                pending.append(publisher.publish(topic, lines, request_id=ids[0], content_type=LINES_TYPE))
            if len(pending) == MAX_IN_FLIGHT:
                pending.popleft().result()
        for future in pending:
            future.result()
    return count


def main(argv: Sequence[str] | None = None) -> int:
    """Publish the requests once. Returns 0, or 1 when a call to Google Cloud failed.

    The requests before the failure are published. A second run publishes them again, under the same ids.
    """
    parser = argparse.ArgumentParser(
        prog="python -m functions.entrypoints.batch_publish",
        description="Publish a request for each image under a prefix of a bucket.",
        epilog="Example: python -m functions.entrypoints.batch_publish gs://photos/2026/ --topic projects/P/topics/T",
    )
    parser.add_argument("place", type=_place, help="gs://bucket/prefix")
    parser.add_argument("--topic", required=True, help="the topic for the requests: projects/P/topics/T")
    parser.add_argument("--hours", type=float, help="only images that were written in the last HOURS hours")
    parser.add_argument(
        "--gather", type=_images, default=1, help=f"up to how many images share a message, 1 to {MAX_LINES}; default 1"
    )
    args = parser.parse_args(argv)
    configure("INFO", "")
    bucket, prefix = args.place
    since = None if args.hours is None else datetime.now(UTC) - timedelta(hours=args.hours)
    try:
        count = publish_requests(args.topic, images(bucket, prefix, since), args.gather)
    except (GoogleAPIError, GoogleAuthError) as exc:
        log.error("not all requests were published: %s", exc)
        return 1
    log.info("requests published", extra={"bucket": bucket, "prefix": prefix, "requests": count})
    return 0


def _images(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= MAX_LINES):
        raise argparse.ArgumentTypeError(f"it is {text!r}; it must be a whole number from 1 to {MAX_LINES}")
    return int(text)


def _place(text: str) -> tuple[str, str]:
    bucket, _, prefix = text.removeprefix("gs://").partition("/")
    if not text.startswith("gs://") or not BUCKET.fullmatch(bucket):
        raise argparse.ArgumentTypeError(f"it is {text!r}; it must look like gs://bucket/prefix")
    return bucket, prefix


if __name__ == "__main__":
    sys.exit(main())
