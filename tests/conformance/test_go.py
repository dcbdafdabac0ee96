"""Google's Go clients against the Storage and the Pub/Sub server, with the cases in ../shared/clients."""

from __future__ import annotations

import pytest

from infra.local.pubsub.server import PubsubServer
from infra.local.storage.notify import Notifier
from infra.local.storage.server import StorageServer
from tests.shared_clients import run

# The cases that are left out wait for ack deadlines or send 50,000 messages: they take more than a minute.
PUBSUB_CASES = (
    "Admin", "BatchCompressFlow", "Big", "DeadLetterRetry", "DeleteWhileReceiving", "Detach", "ExactlyOnce", "Filter",
    "IAM", "OrderingResume", "Push", "Schemas", "SeekSnapshot",
)  # fmt: skip


@pytest.mark.slow
def test_the_go_storage_client() -> None:
    with PubsubServer() as pubsub, StorageServer(notifier=Notifier(pubsub.host, ())) as storage:
        output = run("go", pubsub.host, storage.url.removeprefix("http://"), "^TestST_", limit_s=240)
    assert output.count("\n--- PASS: TestST_") == 20, output


@pytest.mark.slow
def test_the_go_pubsub_client() -> None:
    with PubsubServer() as pubsub:
        output = run("go", pubsub.host, "127.0.0.1:1", f"^TestPS_({'|'.join(PUBSUB_CASES)})$", limit_s=120)
    assert output.count("\n--- PASS: TestPS_") == len(PUBSUB_CASES), output
