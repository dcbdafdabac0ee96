"""Push: to the worker's doors, with a token that it admits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from client.doctor.finding import Finding, fail, ok, warn
from client.doctor.gcloud import gcloud
from client.doctor.settings import short
from client.doctor.wanted import Subscription
from client.doctor.worker import Door, check_worker


def check_push(found: Any, wanted: Subscription, door: Door) -> Iterator[Finding]:
    """At most one line: nothing on what is pulled and is to be."""
    name, endpoint = short(wanted.name), found.push_config.push_endpoint
    what = f"push {name}"

    def modify(*flags: str) -> str:
        return gcloud(door.project, "pubsub", "subscriptions", "modify-push-config", name, *flags)

    if not wanted.path:
        if endpoint:
            yield fail(what, f"goes to {endpoint}, and it is to be pulled", modify("--push-endpoint="))
    elif not endpoint and door.url:
        said = f"waits for a worker that pulls; there is one at {door.url}"
        yield warn(what, said, modify(*door.flags(wanted.path)))
    elif not endpoint:
        yield ok(what, "waits for a worker that pulls")
    else:
        yield _pushed(what, found.push_config, wanted.path, door, modify)


def _pushed(what: str, config: Any, path: str, door: Door, modify: Callable[..., str]) -> Finding:
    """A line on what is pushed."""
    endpoint, token = config.push_endpoint, config.oidc_token
    address = urlsplit(endpoint)
    origin = f"{address.scheme}://{address.netloc}"
    if (address.path or "/") != path:
        said = f"goes to {endpoint}, which is not the worker's door {path}"
        return fail(what, said, modify(*door.flags(path, door.url or origin)))
    if address.scheme == "https" and not (token.service_account_email and token.audience):
        absent = "audience" if token.service_account_email else "service account"
        said = f"goes to {endpoint} and nobody is let in: no {absent} is set"
        return fail(what, said, modify(*door.flags(path, origin)))
    if door.url and origin != door.url:
        return warn(what, f"goes to {origin}, and not to the worker at {door.url}", modify(*door.flags(path)))
    state = check_worker(what, origin, door)
    signed = f" as {token.service_account_email} for {token.audience}" if token.service_account_email else ""
    return ok(what, f"goes to {endpoint}{signed}; {state.said}") if state.level == "ok" else state
