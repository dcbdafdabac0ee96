"""Google's Java client against the Storage server, with the cases in ../shared/clients."""

from __future__ import annotations

import re

import pytest

from infra.local.storage.server import StorageServer
from tests.shared_clients import run


@pytest.mark.slow
def test_the_java_client() -> None:
    with StorageServer() as server:
        output = run("java", server.url.removeprefix("http://"), limit_s=120)
    passed, failed = re.search(r"(\d+) passed, (\d+) failed", output).groups()  # type: ignore[union-attr]
    assert (int(passed) >= 45, failed) == (True, "0"), output
