"""An HTTP server with the calls of Cloud Monitoring and of Cloud Run's Admin API that scaling a pool needs."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from functions.scaling import monitoring
from functions.scaling.history import Minute
from tests.service.local_server import LocalServer

PROJECT, REGION = "shop", "europe-west1"
POOL = f"projects/{PROJECT}/locations/{REGION}/workerPools/prediction-pool"
SUBSCRIPTION = f"projects/{PROJECT}/subscriptions/req_predict-sub"

_LABELS = {
    "pubsub_subscription": {"subscription_id": "req_predict-sub"},
    "cloud_run_worker_pool": {"worker_pool_name": "prediction-pool", "location": REGION},
}
# By metric: the resource, the aligner that suits its kind, the field of a minute, and the kind of its values.
_METRICS = {
    "pubsub.googleapis.com/subscription/num_undelivered_messages": (
        "pubsub_subscription",
        "ALIGN_MAX",
        "backlog",
        "int64Value",
    ),
    "pubsub.googleapis.com/subscription/ack_message_count": (
        "pubsub_subscription",
        "ALIGN_DELTA",
        "acked",
        "int64Value",
    ),
    "run.googleapis.com/container/billable_instance_time": (
        "cloud_run_worker_pool",
        "ALIGN_DELTA",
        "instance_s",
        "doubleValue",
    ),
}
BACKLOG, ACKED, RAN = _METRICS


class Google(LocalServer):
    """Both interfaces. `minutes`: what Cloud Monitoring knows, the last of which ended `late` minutes ago.

    `count` and `etag` are the pool's. `replies`: a status and a body, as text or JSON, instead of the usual reply, by
    metric or method and pool. `page_size`: points of a reply. `hook` runs before a change.
    """

    def __init__(self, minutes: list[Minute], count: int | None = 2) -> None:
        self.minutes, self.count, self.etag, self.late = minutes, count, "first", 3
        self.scaling: dict[str, Any] = {}
        self.replies: dict[str, tuple[int, Any]] = {}
        self.page_size = 100_000
        self.hook: Callable[[], None] = lambda: None
        self.changes: list[dict[str, Any]] = []
        self.waiting = threading.Event()
        super().__init__(self._handler())

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.waiting.set()
        super().__exit__(kind, exc, traceback)

    def reply(self, method: str, path: str, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        if path == f"/v3/projects/{PROJECT}/timeSeries":
            metric = re.findall(r'metric\.type="([^"]+)"', query["filter"])[0]
            return self.replies.get(metric) or (200, self._series(metric, query))
        assert path == f"/v2/{POOL}", path
        if given := self.replies.get(method):
            return given
        if method == "PATCH":
            return self._change(query, body)
        scaling = self.scaling | ({} if self.count is None else {"manualInstanceCount": self.count})
        return 200, {"name": POOL, "etag": self.etag, "scaling": scaling, "template": {"containers": []}}

    def _change(self, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        assert query == {"updateMask": "scaling.manualInstanceCount"}
        self.hook()
        if body["etag"] != self.etag:
            return 409, {"error": {"code": 409, "message": "Conflict for resource", "status": "ABORTED"}}
        self.changes.append(body)
        self.count, self.etag = body["scaling"]["manualInstanceCount"], f"{self.etag}+"
        return 200, {"name": f"projects/{PROJECT}/locations/{REGION}/operations/1", "metadata": {}}

    def _series(self, metric: str, query: dict[str, str]) -> dict[str, Any]:
        resource, aligner, field, kind = _METRICS[metric]
        labels = dict(re.findall(r'resource\.labels\.(\w+)="([^"]+)"', query["filter"]))
        assert (labels, f'resource.type="{resource}"' in query["filter"]) == (_LABELS[resource], True)
        asked = [query[f"aggregation.{name}"] for name in ("alignmentPeriod", "perSeriesAligner", "crossSeriesReducer")]
        assert asked == ["60s", aligner, "REDUCE_SUM"]
        begin, end = (datetime.fromisoformat(query[f"interval.{name}Time"]) for name in ("start", "end"))
        assert end - begin in (timedelta(days=1), timedelta(minutes=monitoring.STALE))
        assert end.second == 0 and abs(datetime.now(UTC) - end).seconds < 120
        points = [
            self._point(end - timedelta(minutes=self.late + age), kind, value)
            for age, minute in enumerate(reversed(self.minutes))
            if (value := getattr(minute, field)) is not None
        ]
        first = int(query.get("pageToken", 0))
        page = points[first : first + self.page_size]
        more = {"nextPageToken": str(first + len(page))} if first + len(page) < len(points) else {}
        return {"timeSeries": [{"metric": {"type": metric}, "points": page}], **more} if page else {}

    @staticmethod
    def _point(end: datetime, kind: str, value: float) -> dict[str, Any]:
        begin, written = end - timedelta(minutes=1), str(int(value)) if kind == "int64Value" else value
        times = {name: f"{at:%Y-%m-%dT%H:%M:%SZ}" for name, at in (("startTime", begin), ("endTime", end))}
        return {"interval": times, "value": {kind: written}}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer({})

            def do_PATCH(self) -> None:
                self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def _answer(self, body: dict[str, Any]) -> None:
                url = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(url.query).items()}
                status, content = server.reply(self.command, url.path, query, body)
                if status == 0:  # hangs until the test ends
                    server.waiting.wait(30)
                    return
                data = (content if isinstance(content, str) else json.dumps(content)).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        return Handler
