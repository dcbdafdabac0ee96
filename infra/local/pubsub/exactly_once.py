"""Exactly-once delivery: reports to a client that its ack came too late."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from infra.local.pubsub.delivery import Backlog
from infra.local.pubsub.refusal import Refusal

_REASON = "PERMANENT_FAILURE_INVALID_ACK_ID"

# Bytes of the details beyond those for each id, and for each id beyond its own.
_DETAILS_BYTES, _NAMED_BYTES = 200, len(_REASON) + 12


def check_nameable(backlog: Backlog, ack_ids: Iterable[str], details_bytes: int) -> None:
    """With exactly-once delivery, refuse a request with more ids without a lease than an error can name.

    `details_bytes`: the details that the client accepts. A client takes an id that the error of an ack does not name
    for processed, or for failed. So nothing is processed: the error is transient, it names the first of these ids for
    good, and clients send the others again (except the Java client, which takes them for acked).
    """
    if not backlog.policy.exactly_once:
        return
    stale = backlog.stale(ack_ids)
    sizes = itertools.accumulate((len(each) + _NAMED_BYTES for each in stale), initial=_DETAILS_BYTES)
    named = max(sum(size <= details_bytes for size in sizes) - 1, 1)
    if len(stale) > named:
        raise _refusal(
            grpc.StatusCode.ABORTED,
            f"More than {named} acknowledgement ids in the request were invalid, and nothing was processed. Send the "
            "request again without the ids that the details of this error name.",
            stale[:named],
        )


def check_stale(backlog: Backlog, stale: list[str]) -> None:
    """With exactly-once delivery, refuse ack ids without a lease and name each of them, as the cloud does.

    The request's other ids were processed. Without exactly-once delivery, stale ids are not an error.
    """
    if not stale or not backlog.policy.exactly_once:
        return
    raise _refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        f"{len(stale)} acknowledgement ids in the request were invalid. They have expired, belong to an earlier "
        "delivery of the message, or are malformed.",
        stale,
    )


def _refusal(code: grpc.StatusCode, message: str, stale: list[str]) -> Refusal:
    info = error_details_pb2.ErrorInfo(
        reason=_REASON, domain="pubsub.googleapis.com", metadata=dict.fromkeys(stale, _REASON)
    )
    detail = any_pb2.Any()
    detail.Pack(info)
    status = status_pb2.Status(code=code.value[0], message=message, details=[detail])
    return Refusal(code, message, status.SerializeToString())
