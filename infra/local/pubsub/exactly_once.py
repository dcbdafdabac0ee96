"""Exactly-once delivery: reports to a client that its ack came too late."""

from __future__ import annotations

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from infra.local.pubsub.delivery import Backlog
from infra.local.pubsub.refusal import Refusal

# Reason and number of the ack ids that a refusal names. Details travel as metadata, of which the stock client accepts
# 8 KiB from an emulator.
_REASON = "PERMANENT_FAILURE_INVALID_ACK_ID"
_NAMED = 80


def check_stale(backlog: Backlog, stale: list[str]) -> None:
    """With exactly-once delivery, refuse ack ids without a lease and name each of them, as the cloud does.

    The request's other ids were processed. Without exactly-once delivery, stale ids are not an error.
    """
    if not stale or not backlog.policy.exactly_once:
        return
    message = (
        f"{len(stale)} acknowledgement ids in the request were invalid. They have expired, belong to an earlier "
        "delivery of the message, or are malformed."
    )
    info = error_details_pb2.ErrorInfo(
        reason=_REASON, domain="pubsub.googleapis.com", metadata=dict.fromkeys(stale[:_NAMED], _REASON)
    )
    detail = any_pb2.Any()
    detail.Pack(info)
    code = grpc.StatusCode.INVALID_ARGUMENT
    status = status_pb2.Status(code=code.value[0], message=message, details=[detail])
    raise Refusal(code, message, status.SerializeToString())
