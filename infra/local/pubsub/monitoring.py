"""Cloud Monitoring's timeSeries.list for one metric: the backlog of a subscription, at this moment.

Google's own emulator has no metrics. The reply has the documented form, so that readers of the backlog run unchanged.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

from infra.local.pubsub.broker import Broker
from infra.local.pubsub.rest import Rest, failed

METRIC = "pubsub.googleapis.com/subscription/num_undelivered_messages"

_PATH = re.compile(r"/v3/projects/([^/]+)/timeSeries")
_FILTER = re.compile(
    rf'metric\.type="{re.escape(METRIC)}" AND resource\.type="pubsub_subscription" '
    r'AND resource\.labels\.subscription_id="([^"]+)"'
)


class Monitoring:
    """Answers for the metric, and lets `rest` answer every other request."""

    def __init__(self, broker: Broker, rest: Rest) -> None:
        self._broker, self._rest = broker, rest

    async def answer(self, verb: str, target: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """The status and the document for one request."""
        url = urlsplit(target)
        if verb == "GET" and (path := _PATH.fullmatch(url.path)):
            return self._list(path[1], {name: values[-1] for name, values in parse_qs(url.query).items()})
        return await self._rest.answer(verb, target, body)

    def _list(self, project: str, query: dict[str, str]) -> tuple[int, dict[str, Any]]:
        asked, end = _FILTER.fullmatch(query.get("filter", "")), query.get("interval.endTime", "")
        if not asked or not end:
            return failed(400, "INVALID_ARGUMENT", f"The twin has only {METRIC} of one subscription until an endTime.")
        found = self._broker.subscriptions.get(f"projects/{project}/subscriptions/{asked[1]}")
        if not found:
            return 200, {}
        self._broker.offers.make_all()
        point = {
            "interval": {"startTime": end, "endTime": end},
            "value": {"int64Value": str(len(found.backlog.read()))},
        }
        labels = {"project_id": project, "subscription_id": asked[1]}
        series = {
            "metric": {"type": METRIC},
            "resource": {"type": "pubsub_subscription", "labels": labels},
            "metricKind": "GAUGE",
            "valueType": "INT64",
            "points": [point],
        }
        return 200, {"timeSeries": [series]}
