"""A fake of Google's provider: it knows the schema, invents the values that the cloud would set, and makes no calls.

terraform.py starts it as a process in the tools' environment: `python -m infra.check.fake_provider SCHEMA SOCKET`.
Terraform attaches to the socket (TF_REATTACH_PROVIDERS), so no provider is installed. It ends with its stdin.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import msgpack
from tf.gen import tfplugin_pb2 as wire
from tf.gen import tfplugin_pb2_grpc as rpc

_UNKNOWN = msgpack.ExtType(0, b"\x00")
_NESTING = {"single": 1, "list": 2, "set": 3, "map": 4}

# Invented values by type and attribute, built from the configuration; every other one is `stand-in-ATTRIBUTE`.
_INVENTED = {
    "google_artifact_registry_repository.name": "{repository_id}",
    "google_project_service.id": "{project}/{service}",
    "google_pubsub_topic.id": "projects/{project}/topics/{name}",
    "google_pubsub_subscription.id": "projects/{project}/subscriptions/{name}",
    "google_project_iam_custom_role.name": "projects/{project}/roles/{role_id}",
    "google_bigquery_dataset.id": "projects/{project}/datasets/{dataset_id}",
    "google_kms_key_ring.id": "projects/{project}/locations/{location}/keyRings/{name}",
    "google_kms_crypto_key.id": "{key_ring}/cryptoKeys/{name}",
    "google_cloud_run_v2_service.uri": "https://{name}.example",
    "google_cloud_run_v2_worker_pool.id": "projects/{project}/locations/{location}/workerPools/{name}",
    "google_managed_kafka_cluster.id": "projects/{project}/locations/{location}/clusters/{cluster_id}",
    "google_service_account.id": "projects/{project}/serviceAccounts/{account_id}@{project}.example",
    "google_service_account.name": "projects/{project}/serviceAccounts/{account_id}",
    "google_service_account.email": "{account_id}@{project}.example",
    "google_service_account.member": "serviceAccount:{account_id}@{project}.example",
    "google_project_service_identity.member": "serviceAccount:agent@{service}",
    "google_storage_project_service_account.email_address": "agent@storage.googleapis.com",
    "google_bigquery_default_service_account.email": "agent@bigquery.googleapis.com",
}

# Blocks that the real provider takes from the API where they are not configured (`default_from_api` in Google's
# definitions of the resources), with the API's first value. The packages with the schemas do not tell.
_FROM_API: dict[str, dict[str, dict[str, Any]]] = {
    "google_cloud_run_v2_worker_pool": {"scaling": {"manual_instance_count": 1}},
}

Values = dict[str, Any]
Invent = Callable[[str, Any], Any]


class FakeProvider(rpc.ProviderServicer):  # type: ignore[misc]
    """Terraform's plugin protocol, version 6. It has no state, so many terraform processes can attach at once."""

    def __init__(self, schema: Values) -> None:
        self._resources: Values = schema["resource"]
        self._data: Values = schema["data"]
        # Every terraform command asks for it.
        self._schema_response = wire.GetProviderSchema.Response(
            provider=wire.Schema(block=_block(schema["provider"])),
            resource_schemas={name: wire.Schema(block=_block(block)) for name, block in self._resources.items()},
            data_source_schemas={name: wire.Schema(block=_block(block)) for name, block in self._data.items()},
        )

    def GetMetadata(self, request: Any, context: Any) -> Any:
        return wire.GetMetadata.Response()

    def GetProviderSchema(self, request: Any, context: Any) -> Any:
        return self._schema_response

    def ValidateProviderConfig(self, request: Any, context: Any) -> Any:
        return wire.ValidateProviderConfig.Response()

    def ValidateResourceConfig(self, request: Any, context: Any) -> Any:
        return wire.ValidateResourceConfig.Response()

    def ValidateDataResourceConfig(self, request: Any, context: Any) -> Any:
        return wire.ValidateDataResourceConfig.Response()

    def ConfigureProvider(self, request: Any, context: Any) -> Any:
        return wire.ConfigureProvider.Response()

    def UpgradeResourceState(self, request: Any, context: Any) -> Any:
        return wire.UpgradeResourceState.Response(upgraded_state=wire.DynamicValue(json=request.raw_state.json))

    def ReadResource(self, request: Any, context: Any) -> Any:
        return wire.ReadResource.Response(new_state=request.current_state)

    def PlanResourceChange(self, request: Any, context: Any) -> Any:
        planned, prior = _unpack(request.proposed_new_state), _unpack(request.prior_state)
        if planned and prior:
            planned |= {name: prior[name] for name in _FROM_API.get(request.type_name, ()) if not planned[name]}
        if prior is None:
            planned = _fill(self._resources[request.type_name], planned, lambda name, type_: _UNKNOWN)
        return wire.PlanResourceChange.Response(planned_state=_pack(planned), legacy_type_system=True)

    def ApplyResourceChange(self, request: Any, context: Any) -> Any:
        planned = _unpack(request.planned_state)
        block = self._resources[request.type_name]
        applied = _fill(block, planned, _inventor(request.type_name, planned))
        if applied:
            given = _FROM_API.get(request.type_name, {})
            applied |= {name: [_empty(block, name) | first] for name, first in given.items() if not applied[name]}
        return wire.ApplyResourceChange.Response(new_state=_pack(applied), legacy_type_system=True)

    def ReadDataSource(self, request: Any, context: Any) -> Any:
        asked = _unpack(request.config)
        return wire.ReadDataSource.Response(
            state=_pack(_fill(self._data[request.type_name], asked, _inventor(request.type_name, asked)))
        )

    def StopProvider(self, request: Any, context: Any) -> Any:
        return wire.StopProvider.Response()


def _block(block: Values) -> Any:
    flags = ("required", "optional", "computed")
    return wire.Schema.Block(
        attributes=[
            wire.Schema.Attribute(
                name=name, type=json.dumps(given["type"]).encode(), **{key: given[key] for key in flags}
            )
            for name, given in block["attributes"].items()
        ],
        block_types=[
            wire.Schema.NestedBlock(
                type_name=name,
                nesting=_NESTING[nested["nesting"]],
                min_items=nested["min"],
                max_items=nested["max"],
                block=_block(nested["block"]),
            )
            for name, nested in block["block_types"].items()
        ],
    )


def _unpack(value: Any) -> Any:
    return msgpack.unpackb(value.msgpack, strict_map_key=False) if value.msgpack else json.loads(value.json or "null")


def _pack(value: Any) -> Any:
    return wire.DynamicValue(msgpack=msgpack.packb(value))


def _fill(block: Values, value: Any, invent: Invent) -> Any:
    """`value` with invented computed attributes, also in nested blocks. A deleted value (None) stays None."""
    if not isinstance(value, dict):
        return value
    filled = dict(value)
    for name, attribute in block["attributes"].items():
        if attribute["computed"] and (value.get(name) is None or isinstance(value[name], msgpack.ExtType)):
            filled[name] = invent(name, attribute["type"])
    for name, nested in block["block_types"].items():
        inner = value.get(name)
        if isinstance(inner, list):
            filled[name] = [_fill(nested["block"], each, invent) for each in inner]
        elif isinstance(inner, dict):
            filled[name] = _fill(nested["block"], inner, invent)
    return filled


def _empty(block: Values, name: str) -> Values:
    """A nested block's value without any argument."""
    return dict.fromkeys(block["block_types"][name]["block"]["attributes"])


def _inventor(type_name: str, configured: Values | None) -> Invent:
    def invent(name: str, type_: Any) -> Any:
        match type_:
            case "string":
                return _INVENTED.get(f"{type_name}.{name}", f"stand-in-{name}").format(**(configured or {}))
            case "number":
                return 0
            case "bool":
                return False
            case ["map" | "object", *_]:
                return {}
            case _:
                return []

    return invent


def main(schema: Path, socket: Path) -> None:
    """Serve until stdin ends, which means that the parent process has ended or closed it."""
    server = grpc.server(ThreadPoolExecutor(max_workers=10))
    rpc.add_ProviderServicer_to_server(FakeProvider(json.loads(schema.read_text())), server)
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    print("ready", flush=True)
    sys.stdin.read()
    server.stop(grace=None).wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
