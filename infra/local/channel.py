"""The gRPC channel to a Pub/Sub server of the twin: without credentials, and never through a proxy."""

from __future__ import annotations

import grpc


def open_channel(host: str, **options: int) -> grpc.Channel:
    """Open a channel to `host`, address:port. `options` are gRPC's, without their `grpc.`."""
    options = {"enable_http_proxy": 0, **options}
    return grpc.insecure_channel(host, options=[(f"grpc.{name}", value) for name, value in options.items()])
