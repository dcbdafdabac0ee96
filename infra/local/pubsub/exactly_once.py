"""Exactly-once delivery: what tells a client that its ack came too late."""

from __future__ import annotations

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from infra.local.pubsub.delivery import Backlog
from infra.local.pubsub.refusal import Refusal

_REASON = "PERMANENT_FAILURE_INVALID_ACK_ID"
_NAMED = 80
"""Ack ids named in one refusal: details travel as metadata, of which a stock client on an emulator takes 8 KiB."""


def check_stale(backlog: Backlog, stale: list[str]) -> None:
    """Refuse ack ids that lease nothing, naming each as the cloud does, where delivery is exactly once.

    The other ids of the request have been obeyed. Without exactly-once delivery, stale ids are no error.
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
