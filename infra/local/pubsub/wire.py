"""The protobuf classes of google.pubsub.v1, and the gRPC handlers for plain methods.

google-cloud-pubsub contains the messages but no server stubs, which would name the request class of each method.
"""

from __future__ import annotations

import inspect
from typing import Any

import grpc
from google.iam.v1 import iam_policy_pb2
from google.protobuf import empty_pb2
from google.pubsub_v1 import types

from infra.local.pubsub.refusal import Refusal

# The raw protobuf classes, which are several times faster than their proto-plus wrappers.
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

# Bytes of one pull response. The stock client receives at most 4 MiB from an emulator, and drops more silently.
RESPONSE_LIMIT = 3_500_000

_NAMED_OTHERWISE = {"CreateTopic": types.Topic, "CreateSubscription": types.Subscription}


def requests(service: object) -> dict[str, Any]:
    """The request class of every RPC: the methods of a service whose names start with a capital."""
    names = [name for name in dir(service) if name[0].isupper()]
    wrapped = [_NAMED_OTHERWISE.get(name) or getattr(types, f"{name}Request", None) for name in names]
    return {
        name: each.pb() if each else getattr(iam_policy_pb2, f"{name}Request")
        for name, each in zip(names, wrapped, strict=True)
    }


def handler(name: str, service: object) -> Any:
    """The gRPC handler of one service.

    Plain methods take the request; coroutines take the request (StreamingPull: the stream of requests) and the context.
    """
    methods = {each: _method(getattr(service, each), request) for each, request in requests(service).items()}
    return grpc.method_handlers_generic_handler(name, methods)


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
    """One page of a listing, and the token of the next page, which is its offset."""
    start = int(token) if token.isdecimal() else 0
    end = start + (size or 100)
    return items[start:end], str(end) if end < len(items) else ""
