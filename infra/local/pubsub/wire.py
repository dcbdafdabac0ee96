"""The wire: the protobuf classes of google.pubsub.v1 and how plain methods become gRPC handlers.

google-cloud-pubsub ships the messages but no server stub; all that is missing is a table of methods and requests.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import grpc
from google.protobuf import empty_pb2
from google.pubsub_v1 import types

from infra.local.pubsub.refusal import Refusal

# The raw protobuf classes: several times faster than the proto-plus wrappers around them.
Topic: Any = types.Topic.pb()
Subscription: Any = types.Subscription.pb()
PubsubMessage: Any = types.PubsubMessage.pb()
PushConfig: Any = types.PushConfig.pb()
PublishResponse: Any = types.PublishResponse.pb()
PullResponse: Any = types.PullResponse.pb()
StreamingPullResponse: Any = types.StreamingPullResponse.pb()
ListTopicsResponse: Any = types.ListTopicsResponse.pb()
ListSubscriptionsResponse: Any = types.ListSubscriptionsResponse.pb()
ListTopicSubscriptionsResponse: Any = types.ListTopicSubscriptionsResponse.pb()
ListTopicSnapshotsResponse: Any = types.ListTopicSnapshotsResponse.pb()
ListSnapshotsResponse: Any = types.ListSnapshotsResponse.pb()
Snapshot: Any = types.Snapshot.pb()
SeekResponse: Any = types.SeekResponse.pb()
Empty: Any = empty_pb2.Empty

RESPONSE_LIMIT = 3_500_000
"""Bytes of one pull response: a stock client on an emulator receives at most 4 MiB, and says nothing about more."""

PUBLISHER: Mapping[str, Any] = {
    "CreateTopic": types.Topic,
    "UpdateTopic": types.UpdateTopicRequest,
    "Publish": types.PublishRequest,
    "GetTopic": types.GetTopicRequest,
    "ListTopics": types.ListTopicsRequest,
    "ListTopicSubscriptions": types.ListTopicSubscriptionsRequest,
    "ListTopicSnapshots": types.ListTopicSnapshotsRequest,
    "DeleteTopic": types.DeleteTopicRequest,
    "DetachSubscription": types.DetachSubscriptionRequest,
}
SUBSCRIBER: Mapping[str, Any] = {
    "CreateSubscription": types.Subscription,
    "GetSubscription": types.GetSubscriptionRequest,
    "UpdateSubscription": types.UpdateSubscriptionRequest,
    "ListSubscriptions": types.ListSubscriptionsRequest,
    "DeleteSubscription": types.DeleteSubscriptionRequest,
    "ModifyPushConfig": types.ModifyPushConfigRequest,
    "ModifyAckDeadline": types.ModifyAckDeadlineRequest,
    "Acknowledge": types.AcknowledgeRequest,
    "Pull": types.PullRequest,
    "StreamingPull": types.StreamingPullRequest,
    "CreateSnapshot": types.CreateSnapshotRequest,
    "GetSnapshot": types.GetSnapshotRequest,
    "ListSnapshots": types.ListSnapshotsRequest,
    "UpdateSnapshot": types.UpdateSnapshotRequest,
    "DeleteSnapshot": types.DeleteSnapshotRequest,
    "Seek": types.SeekRequest,
}


Service = tuple[Mapping[str, Any], object]
"""The table of a service, and what has a method for each name in it."""


def handler(name: str, service: Service) -> Any:
    """The gRPC handler of one service.

    Plain methods take the request; coroutines take the request (StreamingPull: the stream of them) and the context.
    """
    table, methods = service
    return grpc.method_handlers_generic_handler(
        name, {each: _method(getattr(methods, each), raw(request)) for each, request in table.items()}
    )


def raw(request: Any) -> Any:
    """The protobuf class of a proto-plus wrapper, or of itself."""
    return request.pb() if hasattr(request, "pb") else request


def _method(method: Any, request: Any) -> Any:
    if method.__name__ == "StreamingPull":
        return grpc.stream_stream_rpc_method_handler(_refusing(method), request.FromString, _serialize)
    if inspect.iscoroutinefunction(method):
        return grpc.unary_unary_rpc_method_handler(_refusing(method), request.FromString, _serialize)

    async def call(message: Any, _: Any) -> Any:
        return method(message)

    return grpc.unary_unary_rpc_method_handler(_refusing(call), request.FromString, _serialize)


def _refusing(method: Any) -> Any:
    async def call(request: Any, context: Any) -> Any:
        try:
            return await method(request, context)
        except Refusal as refusal:
            trailers = (("grpc-status-details-bin", refusal.details),) if refusal.details else ()
            await context.abort(refusal.code, str(refusal), trailers)

    return call


def _serialize(message: Any) -> bytes:
    return bytes(message.SerializeToString())


def page(items: list[Any], size: int, token: str) -> tuple[list[Any], str]:
    """One page of a listing and the token of the next; the token is the offset."""
    start = int(token) if token.isdecimal() else 0
    end = start + (size or 100)
    return items[start:end], str(end) if end < len(items) else ""
