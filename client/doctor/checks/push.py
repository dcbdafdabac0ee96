"""Checks push: a subscription pushes to the right path of the worker, with a token that the worker accepts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from client.doctor.checks.worker import check_worker
from client.doctor.deployment import Deployment
from client.doctor.expected import Subscription
from client.doctor.finding import Finding, fail, ok, warn
from client.doctor.gcloud import gcloud
from client.doctor.subscription_settings import short


def check_push(found: Any, expected: Subscription, deployment: Deployment) -> Iterator[Finding]:
    """Yield one finding at most; none for a subscription that is pulled as it should be."""
    name, endpoint = short(expected.name), found.push_config.push_endpoint
    subject = f"push {name}"

    def modify(*flags: str) -> str:
        return gcloud(deployment.project, "pubsub", "subscriptions", "modify-push-config", name, *flags)

    if not expected.path:
        if endpoint:
            yield fail(subject, f"pushes to {endpoint}, but should be pulled", modify("--push-endpoint="))
    elif not endpoint and deployment.url:
        message = f"waits for a pull worker, but there is a push worker at {deployment.url}"
        yield warn(subject, message, modify(*deployment.push_flags(expected.path)))
    elif not endpoint:
        yield ok(subject, "waits for a pull worker")
    else:
        yield _pushed(subject, found.push_config, expected.path, deployment, modify)


def _pushed(subject: str, config: Any, path: str, deployment: Deployment, modify: Callable[..., str]) -> Finding:
    endpoint, token = config.push_endpoint, config.oidc_token
    address = urlsplit(endpoint)
    origin = f"{address.scheme}://{address.netloc}"
    if (address.path or "/") != path:
        message = f"pushes to {endpoint}, which is not the worker's path {path}"
        return fail(subject, message, modify(*deployment.push_flags(path, deployment.url or origin)))
    if address.scheme == "https" and not (token.service_account_email and token.audience):
        absent = "audience" if token.service_account_email else "service account"
        message = f"pushes to {endpoint} without a valid token: no {absent} is set"
        return fail(subject, message, modify(*deployment.push_flags(path, origin)))
    if deployment.url and origin != deployment.url:
        message = f"pushes to {origin}, not to the worker at {deployment.url}"
        return warn(subject, message, modify(*deployment.push_flags(path)))
    state = check_worker(subject, origin, deployment)
    signed = f" as {token.service_account_email} for {token.audience}" if token.service_account_email else ""
    return ok(subject, f"pushes to {endpoint}{signed}; {state.message}") if state.level == "ok" else state
