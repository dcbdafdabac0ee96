"""The environment variables of the client for a deployment, from Terraform's outputs."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any


def exports(project: str, outputs: Mapping[str, Any]) -> list[str]:
    """`export NAME=value` lines for `predictions`, without missing outputs."""
    topics, buckets = outputs["topics"], outputs["buckets"]
    models = outputs.get("deployed", {}).get("models")
    kafka = outputs.get("kafka") or {}
    given = {
        "GOOGLE_CLOUD_PROJECT": project,
        "PREDICTIONS_BROKER": f"kafka://{kafka['bootstrap']}" if kafka else None,
        "REQUEST_TOPIC": kafka.get("request_topic") or topics["req_predict"],
        "RESPONSE_TOPIC": kafka.get("response_topic") or topics["res_predict"],
        "UPLOAD_BUCKET": buckets["uploads"],
        "PAYLOAD_BUCKET": buckets["payloads"],
        # Without a push worker or an open endpoint the output is null, which Terraform omits.
        "WORKER_URL": outputs.get("worker_url"),
        "ENDPOINT_URL": outputs.get("endpoint_url"),
        "PAGE_URL": outputs.get("page_url"),
        # For `predictions model` and `predictions doctor`.
        "REGISTRY": outputs.get("registry") if models else None,
        "MODELS": ",".join(models or ()),
    }
    return [f"export {name}={shlex.quote(value)}" for name, value in given.items() if value]
