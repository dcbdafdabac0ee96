"""Checks the page in the cloud: it is there, and Identity-Aware Proxy (IAP) asks for a sign-in before it answers."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from client.doctor.deployment import Deployment
from client.doctor.finding import Finding, fail, ok
from client.doctor.gcloud import gcloud

SUBJECT = "page"

_TIMEOUT_S = 10.0
"""Seconds to wait for IAP, which answers before the page starts."""

_FROM_IAP = "X-Goog-IAP-Generated-Response"
"""The header of IAP's own replies."""


def check_page(url: str, deployment: Deployment) -> Iterable[Finding]:
    """Request the page without a sign-in."""
    import requests

    deploy = shlex.join([*deployment.deploy, "TFVARS=FILE"])
    try:
        reply = requests.get(url, timeout=_TIMEOUT_S, allow_redirects=False)
    except requests.RequestException as exc:
        return [fail(SUBJECT, f"nothing answers at {url} ({type(exc).__name__}); FILE must set page", deploy)]
    if reply.headers.get(_FROM_IAP) == "true":
        return [ok(SUBJECT, f"Identity-Aware Proxy asks for a sign-in at {url}")]
    if reply.status_code == 404:
        return [fail(SUBJECT, f"there is no service at {url}; FILE must set page", deploy)]
    words = ("beta", "run", "services", "update", deployment.page, "--iap", f"--region={deployment.region}")
    access = "everyone can open the page" if reply.ok else f"it answers {reply.status_code}, so nobody can open it"
    message = f"Identity-Aware Proxy is off at {url}: {access}"
    return [fail(SUBJECT, message, gcloud(deployment.project, *words))]
