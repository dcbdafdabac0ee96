"""Checks the worker: it answers at the push address, and has loaded its model."""

from __future__ import annotations

import json
import shlex

from client.doctor.deployment import SECURE, Deployment
from client.doctor.finding import Finding, fail, ok, warn
from client.doctor.gcloud import gcloud
from client.text import printable

START_TWIN = "predictions up"
"""The command that starts the local twin."""

_CONNECT_TIMEOUT_S = 5.0
"""Seconds to wait for a connection: a reachable host accepts within milliseconds."""

_READY_TIMEOUT_S = 30.0
"""Seconds to wait for /ready: an instance may have to start and load its model first."""

_UNAUTHORIZED = (401, 403)
"""Statuses of a worker that requires a token, which the doctor does not have."""

_NOT_FOUND = 404
"""Cloud Run's status for callers outside a service with internal ingress, and for addresses without a service."""


def check_worker(subject: str, base: str, deployment: Deployment) -> Finding:
    """Request /ready from the worker at `base`."""
    import requests

    deployed = base.startswith(SECURE)
    try:
        reply = requests.get(f"{base}/ready", timeout=(_CONNECT_TIMEOUT_S, _READY_TIMEOUT_S), allow_redirects=False)
    except requests.RequestException as exc:
        start = shlex.join(deployment.deploy) if deployed else START_TWIN
        return fail(subject, f"nothing answers at {base} ({type(exc).__name__})", start)
    if reply.ok:
        return ok(subject, f"the worker is ready{_model(reply.text)}")
    if deployed and reply.status_code in _UNAUTHORIZED:
        return ok(subject, f"the worker rejects requests without a token with {reply.status_code}")
    if deployed and reply.status_code == _NOT_FOUND:
        describe = gcloud(
            deployment.project, "run", "services", "describe", deployment.service, f"--region={deployment.region}"
        )
        return warn(subject, f"{base} is closed to callers from here, or has no worker", describe)
    read = ["run", "services", "logs", "read", deployment.service, f"--region={deployment.region}"]
    log = gcloud(deployment.project, *read) if deployed else "tail build/local/*/worker.log"
    return fail(subject, f"the worker at {base} is not ready: it answers {reply.status_code}", log)


def _model(text: str) -> str:
    """Return the model of a ready worker, or nothing if the reply is not one of our worker."""
    try:
        return printable(" with {model} {version}".format_map(json.loads(text)))
    except (ValueError, LookupError, TypeError):
        return ""
