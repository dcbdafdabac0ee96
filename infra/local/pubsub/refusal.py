"""Refused calls: the cloud's status codes with readable messages."""

from __future__ import annotations

import re

import grpc

_NAME = re.compile(
    r"projects/[^/\s]+/(topics|subscriptions|snapshots|schemas)/(?!goog)[A-Za-z][A-Za-z0-9._~+%-]{2,254}"
)


class Refusal(Exception):
    """A call ends with a gRPC status instead of a response; `details`: a serialised google.rpc.Status."""

    def __init__(self, code: grpc.StatusCode, message: str, details: bytes = b"") -> None:
        super().__init__(message)
        self.code = code
        self.details = details


def invalid(message: str) -> Refusal:
    """A refusal with INVALID_ARGUMENT."""
    return Refusal(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found(name: str) -> Refusal:
    """A refusal with NOT_FOUND that names the resource by its id, as the cloud does."""
    return Refusal(grpc.StatusCode.NOT_FOUND, f"Resource not found (resource={name.rpartition('/')[2]}).")


def already_exists(name: str) -> Refusal:
    """A refusal with ALREADY_EXISTS that names the resource by its id."""
    return Refusal(
        grpc.StatusCode.ALREADY_EXISTS, f"Resource already exists in the project (resource={name.rpartition('/')[2]})."
    )


def not_covered(what: str) -> Refusal:
    """A refusal with UNIMPLEMENTED, for a feature of the cloud that this server lacks."""
    return Refusal(grpc.StatusCode.UNIMPLEMENTED, f"{what} is not supported by the local Pub/Sub server")


def check_name(kind: str, name: str) -> None:
    """Refuse a name that is not `projects/P/KIND/ID`; `kind`: topics, subscriptions, snapshots or schemas."""
    match = _NAME.fullmatch(name)
    if not match or match[1] != kind:
        raise invalid(
            f"Invalid [{kind}] name: (name={name}). It must look like projects/PROJECT/{kind}/ID, where ID starts with "
            "a-z or A-Z, has 3 to 255 characters of a-z A-Z 0-9 - . _ ~ + %, and does not start with goog"
        )
