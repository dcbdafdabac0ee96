"""Google's Go client against the Storage server, with the cases in ../shared/clients."""

from __future__ import annotations

import pytest

from infra.local.pubsub.server import PubsubServer
from infra.local.storage.notify import Notifier
from infra.local.storage.server import StorageServer
from tests.shared_clients import run


@pytest.mark.slow
def test_the_go_storage_client() -> None:
    with PubsubServer() as pubsub, StorageServer(notifier=Notifier(pubsub.host, ())) as storage:
        output = run("go", pubsub.host, storage.url.removeprefix("http://"), "^TestST_", limit_s=240)
    assert output.count("\n--- PASS: TestST_") == 20, output
