"""The subscription that holds the comparisons of shadows: each is acked when it is written."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from client.gcp import CALL_TIMEOUT_S, pubsub_retry
from client.text import SendError, brief, plain
from functions.messages.comparison import Comparison, decode_comparison

_PAGE = 200
"""Comparisons in memory at the same time, each of some kilobytes."""

_POLL_S = 5.0
"""Seconds that one pull waits."""

_BETWEEN_S = 0.2
"""Seconds between two pulls when there is nothing to pull."""

Write = Callable[[Sequence[Comparison]], None]


def drain(
    path: str,
    write: Write,
    warn: Callable[[str], None],
    progress: Callable[[int], None],
    *,
    duration_s: float | None,
    idle_s: float | None,
    images: int | None,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Receive comparisons until `duration_s` are over, none arrives for `idle_s`, or `images` are there; return their
    number.

    `path`: the full name of the subscription. `write` writes comparisons, which are acked then; after OSError they are
    nacked, and the call ends with it. A message that is no comparison is acked with a warning. Raises SendError when
    nothing can be received.
    """
    from google.api_core.exceptions import GoogleAPIError

    from functions.gcp.subscriber import subscriber  # imports Google's library, which takes a moment

    client = subscriber()
    began = last = clock()
    count = 0
    try:
        while images is None or count < images:
            now = clock()
            if (duration_s and now - began >= duration_s) or (idle_s and now - last >= idle_s):
                break
            left_s = [limit - (now - since) for limit, since in ((duration_s, began), (idle_s, last)) if limit]
            most = _PAGE if images is None else min(_PAGE, images - count)
            received = _pull(client, path, most, min([_POLL_S, *left_s]))
            if not received:
                time.sleep(_BETWEEN_S)
                continue
            found = [each for message in received if (each := _decoded(message.message, warn))]
            settled = {"subscription": path, "ack_ids": [each.ack_id for each in received]}
            try:
                write(found)
            except OSError:
                client.modify_ack_deadline(settled | {"ack_deadline_seconds": 0}, timeout=CALL_TIMEOUT_S)
                raise
            client.acknowledge(settled, retry=pubsub_retry(), timeout=CALL_TIMEOUT_S)
            count += len(found)
            last = clock()
            progress(count)
    except GoogleAPIError as exc:
        raise SendError(f"comparisons cannot be received: {plain(exc, path)}") from exc
    finally:
        client.transport.close()
    return count


def _pull(client: Any, path: str, most: int, timeout_s: float) -> list[Any]:
    """Pull up to `most` messages; none when none arrives in time."""
    from google.api_core.exceptions import DeadlineExceeded, ServiceUnavailable

    request = {"subscription": path, "max_messages": most}
    try:
        return list(client.pull(request, retry=None, timeout=max(0.1, timeout_s)).received_messages)
    except DeadlineExceeded:
        return []
    except ServiceUnavailable:
        pubsub_retry()(client.get_subscription)(subscription=path, timeout=CALL_TIMEOUT_S)
        return []


def _decoded(message: Any, warn: Callable[[str], None]) -> Comparison | None:
    try:
        return decode_comparison(message.data)
    except ValueError as exc:
        request_id = brief(message.attributes.get("request_id", "unknown"))
        warn(f"dropped a message that is no comparison (request {request_id}): {brief(str(exc))}")
        return None
