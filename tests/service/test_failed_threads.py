"""A pull worker with a failed thread logs the failure and ends with code 1."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.local.twin import Twin
from tests.pubsub_client import PubsubClient
from tests.samples import encoded

# A fault that no real part can produce: Google's client raises what is no GoogleAPIError.
FAILING = """
import logging, os, sys
from google.pubsub_v1 import {client}

def fail(self, *args, **kwargs):
    raise {failure}

{client}.{method} = fail
sys.argv = ["functions.entrypoints.pull_worker"]
from functions.entrypoints import pull_worker
code = pull_worker.main()
logging.shutdown()
os._exit(code)
"""


@pytest.mark.parametrize(
    ("client", "method", "thread"),
    [("SubscriberClient", "acknowledge", "ack-req_predict-sub"), ("PublisherClient", "publish", "publisher-")],
)
def test_a_thread_that_fails_ends_the_worker(
    root: Path, monkeypatch: pytest.MonkeyPatch, client: str, method: str, thread: str
) -> None:
    # A publisher catches every Exception for its messages; only what is none could end its thread.
    failure = 'ValueError("unexpected")' if client == "SubscriberClient" else 'SystemExit("unexpected")'
    code = FAILING.format(client=client, method=method, failure=failure)
    with Twin(worker=None) as twin:
        for name, value in twin.env.items():
            monkeypatch.setenv(name, value)
        worker = subprocess.Popen(
            [sys.executable, "-c", code], cwd=root, env={**os.environ, **twin.env}, stderr=subprocess.PIPE, text=True
        )
        try:
            with PubsubClient(twin.env["GOOGLE_CLOUD_PROJECT"]) as pubsub:
                pubsub.publish(encoded(), request_id="r1")
            _, log = worker.communicate(timeout=60)
        finally:
            worker.kill()
    assert worker.returncode == 1
    assert f"the thread {thread}" in log and "unexpected" in log
