"""The depth of the request queue, in the twin and in Cloud Monitoring, by the same call."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import google.auth
import pytest
import requests
from google.auth.credentials import AnonymousCredentials

from client.emulators import PUBSUB, monitoring_url
from client.gcp import Cloud, UsageError
from client.web.queue_depth import QueueDepth
from client.web.settings import Settings
from functions.scaling import monitoring
from functions.scaling.history import Minute
from infra.local.pubsub.server import PubsubServer
from tests.service.local_server import LocalServer
from tests.service.scaling_server import BACKLOG, PROJECT, Google
from tests.waiting import until


def depth(project: str = PROJECT, subscription: str = "") -> QueueDepth:
    settings = Settings(cloud=Cloud(project), subscription=subscription, monitoring_url=monitoring_url())
    return QueueDepth(settings, lambda: True, lambda found: None)


@pytest.fixture
def twin(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a topic's project; its subscription has three messages."""
    with PubsubServer() as pubsub:
        monkeypatch.setenv(PUBSUB, pubsub.host)
        project = f"http://{pubsub.host}/v1/projects/{PROJECT}"
        requests.put(f"{project}/topics/req_predict", json={}, timeout=10)
        topic = {"topic": f"projects/{PROJECT}/topics/req_predict"}
        requests.put(f"{project}/subscriptions/req_predict-sub", json=topic, timeout=10)
        messages = {"messages": [{"data": "YQ=="}] * 3}
        assert requests.post(f"{project}/topics/req_predict:publish", json=messages, timeout=10).ok
        yield project


def test_the_twin_counts_what_is_not_acked(twin: str) -> None:
    subscription = f"{twin}/subscriptions/req_predict-sub"
    assert depth().read() == {"subscription": "req_predict-sub", "messages": 3, "minutes_ago": 0}
    pulled = requests.post(f"{subscription}:pull", json={"maxMessages": 2}, timeout=10).json()["receivedMessages"]
    assert depth().read()["messages"] == 3, "leased messages are not acked"
    ids = {"ackIds": [each["ackId"] for each in pulled]}
    assert requests.post(f"{subscription}:acknowledge", json=ids, timeout=10).ok
    assert depth().read()["messages"] == 1
    assert depth(subscription="other").read() == {
        "problem": "there is no sample of other in the last 10 minutes; REQUEST_SUBSCRIPTION names another subscription"
    }
    reply = requests.get(f"{twin.replace('v1', 'v3')}/timeSeries", {"filter": "metric.type=x"}, timeout=10)
    assert reply.status_code == 400 and "num_undelivered_messages" in reply.json()["error"]["message"]


def test_the_depth_is_read_only_while_a_page_is_open(twin: str) -> None:
    seen: list[dict[str, Any]] = []
    is_watched: list[bool] = []
    settings = Settings(cloud=Cloud(PROJECT), monitoring_url=monitoring_url())
    with QueueDepth(settings, lambda: bool(is_watched), seen.append) as queue:
        assert not until(lambda: seen, 0.5) and queue.latest == {"problem": ""}
        is_watched.append(True)
        assert until(lambda: seen, 10) and queue.latest == seen[0]
        assert until(lambda: len(seen) > 1, 10)
        assert queue.in_steps(60, 30) == [None, 3], "before the first look it is not known"
    assert seen[0]["messages"] == 3


def test_cloud_monitoring_tells_how_old_the_depth_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PUBSUB, raising=False)
    monkeypatch.setattr(google.auth, "default", lambda scopes: (AnonymousCredentials(), None))
    with Google([Minute(70, 0, 0), Minute(42, 0, 0)]) as server:
        monkeypatch.setattr(monitoring, "ENDPOINT", server.url)
        assert depth().read() == {"subscription": "req_predict-sub", "messages": 42, "minutes_ago": server.late}
        server.replies[BACKLOG] = 403, {"error": {"message": "Permission monitoring.timeSeries.list denied"}}
        assert depth().read()["problem"].endswith("answered 403: Permission monitoring.timeSeries.list denied")
        server.minutes = []
        server.replies.clear()
        assert "there is no sample of req_predict-sub in the last 10 minutes" in depth().read()["problem"]


@pytest.mark.parametrize(
    "topic, subscription, path",
    [
        ("req_predict", "", "projects/shop/subscriptions/req_predict-sub"),
        ("projects/other/topics/photos", "", "projects/other/subscriptions/photos-sub"),
        ("req_predict", "mine", "projects/shop/subscriptions/mine"),
    ],
)
def test_the_subscription_is_that_of_the_topic(topic: str, subscription: str, path: str) -> None:
    assert Settings(cloud=Cloud("shop", topic), subscription=subscription).subscription_path == path
    assert depth("").latest == {"problem": "a server alone has no queue"}
    with pytest.raises(UsageError, match="REQUEST_SUBSCRIPTION is 'a/b'; it must be a subscription's name"):
        depth(subscription="a/b")


def test_an_emulator_without_the_metric_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Emulator(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with LocalServer(Emulator) as server:
        host = server.url.removeprefix("http://")
        monkeypatch.setenv(PUBSUB, host)
        assert depth().read() == {"problem": f"http://{host} does not measure it"}
