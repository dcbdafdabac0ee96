"""Dead letters on the page: the list and the redrive of `predictions dead-letters`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from client import emulators
from client.dead_letters.announcements import find_reasons
from client.dead_letters.redrive import Redrive
from client.dead_letters.request_publisher import RequestPublisher
from client.dead_letters.subscription import ADVICE, DeadLetterSubscription
from client.dead_letters.summary import UNKNOWN, Summary
from client.gcp import Cloud
from client.text import SendError, plain

log = logging.getLogger(__name__)

_MOST = 1000
"""Dead letters that are listed."""


def listed(cloud: Cloud, subscription: str) -> list[dict[str, Any]]:
    """Return the dead letters, as `predictions dead-letters list --json` prints them, without payloads.

    Waits five seconds for further ones. Raises SendError.
    """
    with _opened(cloud, subscription) as held:
        found = [Summary.of(each) for page in held.pages() for each in page if each.is_dead][:_MOST]
    unknown = [each for each in found if each.reason == UNKNOWN]
    if unknown:
        since = min(each.died_at for each in unknown)
        reasons = find_reasons(cloud, (each.request_id for each in unknown), since, log.warning)
        found = [each.explained(reasons) for each in found]
    now = datetime.now(UTC)
    return [each.json(now) for each in found]


def redriven(cloud: Cloud, subscription: str, chosen: set[str]) -> list[dict[str, str]]:
    """Publish the dead letters with these message ids again. Returns each with `left`, why it stays, or "".

    Raises SendError.
    """
    with _opened(cloud, subscription) as held, RequestPublisher(cloud) as publisher:
        run = Redrive(held, chosen=chosen)
        done = [{"message_id": each.message_id, "left": obstacle} for each, obstacle in run.run(publisher)]
    return done + [{"message_id": each, "left": "it is no dead letter any more"} for each in sorted(run.missing)]


@contextmanager
def _opened(cloud: Cloud, subscription: str) -> Iterator[DeadLetterSubscription]:
    from google.api_core.exceptions import GoogleAPIError

    path = cloud.subscription_path(subscription)
    emulators.check_answers(emulators.PUBSUB)
    try:
        with DeadLetterSubscription(path, log.warning) as held:
            yield held
    except GoogleAPIError as exc:
        raise SendError(f"dead letters cannot be read: {plain(exc, path)}{ADVICE.get(type(exc).__name__, '')}") from exc
