"""The doctor without permissions, without a reply, and without credentials."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.protobuf.any_pb2 import Any
from google.rpc import code_pb2
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from client.__main__ import main
from infra.local.ports import free_port
from infra.local.twin import Twin
from tests.service.doctor_harness import PROJECT, DoctorHarness
from tests.service.endpoint import Endpoint


@pytest.fixture(scope="module")
def twin() -> Iterator[Twin]:
    with Twin(worker=None, project=PROJECT) as running:
        yield running


class _Refusing(grpc.GenericRpcHandler):
    """Answers every call with one status."""

    def __init__(self, status: Status) -> None:
        self._status = rpc_status.to_status(status)

    def service(self, _: object) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(lambda request, context: context.abort_with_status(self._status))


@contextmanager
def refusing(status: Status, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Pub/Sub server that refuses everything."""
    server = grpc.server(ThreadPoolExecutor(2), handlers=[_Refusing(status)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{port}")
    yield
    server.stop(None).wait()


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (grpc.StatusCode.PERMISSION_DENIED, "could not be checked: pubsub."),
        (grpc.StatusCode.UNIMPLEMENTED, "could not be checked: this server does not support it"),
    ],
)
def test_a_missing_permission_is_reported(
    harness: DoctorHarness, monkeypatch: pytest.MonkeyPatch, status: grpc.StatusCode, words: str
) -> None:
    with refusing(Status(code=status.value[0], message="no"), monkeypatch):
        code, findings = harness.visit()
    assert code == 0 and len(findings) == 5 + 6 + 1 + 4 + 1
    assert all(each["level"] == "warn" and each["message"].startswith(words) for each in findings)
    if status is grpc.StatusCode.PERMISSION_DENIED:
        missing = {each["message"].partition(": ")[2] for each in findings}
        assert missing == {
            f"pubsub.{kind}.{verb} is missing"
            for kind, verb in [("topics", "get"), ("subscriptions", "get"),
                               ("topics", "getIamPolicy"), ("subscriptions", "getIamPolicy")]
        }  # fmt: skip
        assert findings[0]["fix"] == (
            'gcloud projects add-iam-policy-binding local --member="user:$(gcloud config get account)" '
            "--role=roles/pubsub.viewer"
        )


@pytest.mark.parametrize(
    ("path", "what", "permission"),
    [
        ("/b/uploads", "bucket uploads", "storage.buckets.get"),
        ("/notificationConfigs", "notification uploads", "storage.buckets.get"),
        ("/serviceAccount", "grant dead_predict", "resourcemanager.projects.get"),
        ("/b/models/o", "artifact", "storage.objects.list"),
    ],
)
def test_a_missing_permission_in_storage_is_reported(
    harness: DoctorHarness, path: str, what: str, permission: str
) -> None:
    harness.twin.storage.fail(status=403, path=path)
    code, [found] = harness.visit(*(["--artifact", "gs://models/any"] if what == "artifact" else []))
    assert (code, found["level"], found["subject"]) == (0, "warn", what)
    assert found["message"] == f"could not be checked: {permission} is missing"


@pytest.mark.parametrize(
    ("variable", "address", "silent", "lines"),
    [
        ("PUBSUB_EMULATOR_HOST", "127.0.0.1:{}", "Pub/Sub", 7),
        ("STORAGE_EMULATOR_HOST", "http://127.0.0.1:{}", "Cloud Storage", 17),
    ],
)
def test_a_service_that_does_not_answer_is_reported_once(
    harness: DoctorHarness, monkeypatch: pytest.MonkeyPatch, variable: str, address: str, silent: str, lines: int
) -> None:
    monkeypatch.setenv(variable, address.format(free_port()))
    began = time.monotonic()
    assert main(["doctor"], os.environ) == 1 and time.monotonic() - began < 30
    out = harness.capsys.readouterr().out.splitlines()
    [failed] = [line for line in out if line.startswith("fail")]
    assert failed.split(maxsplit=1)[1].startswith(silent) and "does not answer: " in failed
    assert out[out.index(failed) + 1] == "      fix: predictions up" and len(out) == lines


def test_a_disabled_service_is_reported_once(harness: DoctorHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    reason = Any()
    reason.Pack(ErrorInfo(reason="SERVICE_DISABLED", domain="googleapis.com"))
    off = Status(code=code_pb2.PERMISSION_DENIED, message="it was never used in project local", details=[reason])
    with refusing(off, monkeypatch):
        code, findings = harness.visit()
    assert code == 1 and [each["subject"] for each in findings] == ["Pub/Sub"]
    assert "the service is not enabled in the project" in findings[0]["message"]


def test_missing_credentials_are_reported(
    harness: DoctorHarness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("PUBSUB_EMULATOR_HOST", "STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    code, [found] = harness.visit()
    assert (code, found["subject"], found["fix"]) == (1, "credentials", "gcloud auth application-default login")


def test_revoked_credentials_are_reported(
    harness: DoctorHarness, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    endpoint.statuses = [400]
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    account = {"type": "service_account", "client_email": "a@b.iam.gserviceaccount.com", "private_key": pem}
    account["token_uri"] = f"{endpoint.url}/token"
    (tmp_path / "key.json").write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    code, [found] = harness.visit()
    assert (code, found["subject"], found["fix"]) == (1, "Cloud Storage", "gcloud auth application-default login")
