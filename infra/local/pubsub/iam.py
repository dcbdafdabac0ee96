"""The IAMPolicy service: stores the policies of topics and subscriptions. They are not enforced."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

import grpc
from google.iam.v1 import iam_policy_pb2, policy_pb2

from infra.local.pubsub.refusal import Refusal, invalid, not_found

# The etag of a policy that was never set, as in the cloud (ACAB in base64).
_NO_ETAG = b"\x00\x20\x01"

_ROLE = re.compile(r"(projects/[^/]+/|organizations/[^/]+/)?roles/[A-Za-z0-9._]+")
_MEMBER = re.compile(r"allUsers|allAuthenticatedUsers|[A-Za-z]+:\S+")


class IamPolicy:
    """The methods of google.iam.v1.IAMPolicy, by their names there.

    `resources`: the existing objects by kind ("topics") and full name. A policy belongs to the object, so a topic that
    was deleted and created again has none.
    """

    def __init__(self, resources: Mapping[str, Mapping[str, object]]) -> None:
        self._resources = resources
        self._policies: dict[str, tuple[object, Any]] = {}
        # Nanoseconds since the epoch, so that an etag of an earlier run never repeats.
        self._versions = itertools.count(time.time_ns())

    def SetIamPolicy(self, request: Any) -> Any:
        resource = self._find(request.resource)
        current, policy = self._policy(request.resource), request.policy
        if policy.etag and policy.etag != current.etag:
            raise Refusal(
                grpc.StatusCode.ABORTED,
                "There were concurrent policy changes: the etag is not that of the current policy. "
                "Get the policy again and repeat the change.",
            )
        _check(policy)
        stored = policy_pb2.Policy()
        stored.CopyFrom(policy)
        stored.version = policy.version or 1
        stored.etag = next(self._versions).to_bytes(8, "big")
        self._policies[request.resource] = (resource, stored)
        return stored

    def GetIamPolicy(self, request: Any) -> Any:
        self._find(request.resource)
        return self._policy(request.resource)

    def TestIamPermissions(self, request: Any) -> Any:
        # Callers do not sign in: each one counts as the owner, who has every permission.
        self._find(request.resource)
        kind = request.resource.split("/")[2]
        for permission in request.permissions:
            if not re.fullmatch(rf"pubsub\.{kind}\.[A-Za-z]+", permission):
                raise invalid(f"Permission {permission} cannot be tested on {kind}")
        return iam_policy_pb2.TestIamPermissionsResponse(permissions=request.permissions)

    def policies(self) -> Iterator[tuple[str, Any]]:
        """The policies that were set, by the name of their resource."""
        for name, (resource, policy) in self._policies.items():
            if self._resources[name.split("/")[2]].get(name) is resource:
                yield name, policy

    def restore(self, name: str, policy: Any) -> None:
        """Restore a policy that was checked before, for an existing resource."""
        self._policies[name] = (self._find(name), policy)

    def _find(self, name: str) -> object:
        parts = name.split("/")
        if len(parts) != 4 or parts[0] != "projects" or parts[2] not in self._resources:
            raise invalid(
                f"Invalid resource name given (name={name}). It must look like projects/PROJECT/KIND/ID, where KIND is "
                f"one of {', '.join(self._resources)}"
            )
        resource = self._resources[parts[2]].get(name)
        if resource is None:
            raise not_found(name)
        return resource

    def _policy(self, name: str) -> Any:
        owner, policy = self._policies.get(name, (None, None))
        return policy if policy and owner is self._find(name) else policy_pb2.Policy(etag=_NO_ETAG)


def _check(policy: Any) -> None:
    if policy.version not in (0, 1, 3):
        raise invalid(f"The policy's version is {policy.version}; it must be 1 or 3")
    for binding in policy.bindings:
        if not _ROLE.fullmatch(binding.role):
            raise invalid(f"Role {binding.role!r} is not valid; it must look like roles/pubsub.publisher")
        if binding.HasField("condition") and policy.version != 3:
            raise invalid(f"The binding of {binding.role} has a condition, which needs a policy of version 3")
        if not binding.members:
            raise invalid(f"The binding of {binding.role} has no members")
        for member in binding.members:
            if not _MEMBER.fullmatch(member):
                raise invalid(f"Member {member!r} is not valid; it must look like serviceAccount:name@example.com")
