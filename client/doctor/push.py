"""Push: to the paths of the worker, with a token that it admits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from client.doctor.finding import Finding, fail, ok, warn
from client.doctor.gcloud import gcloud
from client.doctor.settings import short
from client.doctor.wanted import Subscription
from client.doctor.worker import Deployment, check_worker


def check_push(found: Any, wanted: Subscription, deployment: Deployment) -> Iterator[Finding]:
    """At most one line: nothing on what is pulled and is to be."""
    name, endpoint = short(wanted.name), found.push_config.push_endpoint
    what = f"push {name}"

    def modify(*flags: str) -> str:
        return gcloud(deployment.project, "pubsub", "subscriptions", "modify-push-config", name, *flags)

    if not wanted.path:
        if endpoint:
            yield fail(what, f"goes to {endpoint}, and it is to be pulled", modify("--push-endpoint="))
    elif not endpoint and deployment.url:
        said = f"waits for a worker that pulls; there is one at {deployment.url}"
        yield warn(what, said, modify(*deployment.flags(wanted.path)))
    elif not endpoint:
        yield ok(what, "waits for a worker that pulls")
    else:
        yield _pushed(what, found.push_config, wanted.path, deployment, modify)


def _pushed(what: str, config: Any, path: str, deployment: Deployment, modify: Callable[..., str]) -> Finding:
    """A line on what is pushed."""
    endpoint, token = config.push_endpoint, config.oidc_token
    address = urlsplit(endpoint)
    origin = f"{address.scheme}://{address.netloc}"
    if (address.path or "/") != path:
        said = f"goes to {endpoint}, which is not the path {path} of the worker"
        return fail(what, said, modify(*deployment.flags(path, deployment.url or origin)))
    if address.scheme == "https" and not (token.service_account_email and token.audience):
        absent = "audience" if token.service_account_email else "service account"
        said = f"goes to {endpoint} and nobody is let in: no {absent} is set"
        return fail(what, said, modify(*deployment.flags(path, origin)))
    if deployment.url and origin != deployment.url:
        return warn(
            what, f"goes to {origin}, and not to the worker at {deployment.url}", modify(*deployment.flags(path))
        )
    state = check_worker(what, origin, deployment)
    signed = f" as {token.service_account_email} for {token.audience}" if token.service_account_email else ""
    return ok(what, f"goes to {endpoint}{signed}; {state.said}") if state.level == "ok" else state
