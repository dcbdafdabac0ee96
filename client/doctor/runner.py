"""Lists the checks and runs them in order; reports what could not be checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from client.doctor.checks.artifact import BUCKET, check_artifact
from client.doctor.checks.bigquery import check_bigquery
from client.doctor.checks.buckets import check_bucket, check_notification
from client.doctor.checks.clock import check_clock
from client.doctor.checks.dead_letters import check_dead_letters, holders
from client.doctor.checks.grants import check_grant, grants
from client.doctor.checks.models import ServedModels, check_model
from client.doctor.checks.page import SUBJECT, check_page
from client.doctor.checks.subscriptions import check_subscription
from client.doctor.checks.topics import check_topic
from client.doctor.checks.worker import START_TWIN
from client.doctor.clients import Clients, PermissionMissing
from client.doctor.deployment import Deployment
from client.doctor.expected import Expected
from client.doctor.finding import Finding, fail, warn
from client.doctor.gcloud import gcloud, grant_caller
from client.doctor.subscription_settings import short
from client.text import plain

LOGIN = "gcloud auth application-default login"

_PUBSUB, _STORAGE = ("Pub/Sub",), ("Cloud Storage",)

Run = Callable[[Clients], Iterable[Finding]]


@dataclass(frozen=True, slots=True)
class Check:
    """A check of one subject. It is skipped when one of the services in `needs` has not answered an earlier check."""

    subject: str
    run: Run
    needs: tuple[str, ...]


def checks(
    expected: Expected,
    rows: Expected,
    buckets: Iterable[str],
    deployment: Deployment,
    model: str | ServedModels,
    page_url: str = "",
) -> Iterator[Check]:
    """Yield all checks, in the order in which an image passes the resources. `model`: the artifact, or models.

    `page_url`: the address of the page in the cloud, if there is one.
    """
    for topic in expected.topics:
        yield Check(f"topic {short(topic.name)}", partial(check_topic, expected=topic), _PUBSUB)
    for each in expected.subscriptions:
        run: Run = partial(check_subscription, expected=each, deployment=deployment)
        yield Check(f"subscription {short(each.name)}", run, _PUBSUB)
    for dead, holding in holders(expected).items():
        run = partial(check_dead_letters, topic=dead, holding=holding, deployment=deployment)
        yield Check(f"dead letters {short(dead)}", run, _PUBSUB)
    for bucket in buckets:
        yield Check(f"bucket {bucket}", partial(check_bucket, name=bucket, region=deployment.region), _STORAGE)
    for notification in expected.notifications:
        run = partial(check_notification, expected=notification)
        yield Check(f"notification {notification.bucket}", run, _STORAGE)
    for grant in grants(expected):
        yield Check(grant.subject, partial(check_grant, grant=grant), _PUBSUB + _STORAGE)
    run = partial(check_bigquery, expected=rows, deployment=deployment)
    yield Check(f"rows {short(rows.subscriptions[0].name)}", run, _PUBSUB + _STORAGE)
    if isinstance(model, str):
        yield Check("artifact", partial(check_artifact, place=model), _STORAGE if model.startswith(BUCKET) else ())
    else:
        needs = _PUBSUB + (_STORAGE if model.address.startswith(BUCKET) else ())
        for ref in model.refs:
            run = partial(check_model, served=model, ref=ref, deployment=deployment)
            yield Check(f"model {ref.name}", run, needs)
    if page_url:
        yield Check(SUBJECT, lambda clients: check_page(page_url, deployment), ())
    yield Check("clock", check_clock, _STORAGE)


def run_checks(clients: Clients, listed: Iterable[Check]) -> Iterator[Finding]:
    """Run the checks and yield their findings; a check that could not run has a finding too."""
    import requests
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError

    no_answer = (
        exceptions.Forbidden,  # the service is not enabled; a missing permission is PermissionMissing
        exceptions.ServiceUnavailable,
        exceptions.GatewayTimeout,
        exceptions.RetryError,
        requests.RequestException,
    )
    silent: set[str] = set()
    for check in listed:
        if not silent.isdisjoint(check.needs):
            continue
        try:
            yield from check.run(clients)
        except PermissionMissing as exc:
            fix = grant_caller(clients.project, exc.permission)
            yield warn(check.subject, f"could not be checked: {exc.permission} is missing", fix)
        except exceptions.MethodNotImplemented:
            yield warn(check.subject, "could not be checked: this server does not support it", START_TWIN)
        except GoogleAuthError as exc:
            silent.update(check.needs)
            yield fail(check.needs[0], plain(exc), LOGIN)
        except no_answer as exc:
            silent.add(check.needs[0])
            reason = type(exc).__name__ if isinstance(exc, requests.RequestException) else plain(exc)
            yield fail(check.needs[0], f"does not answer: {reason}", _enable(clients))
        except exceptions.GoogleAPICallError as exc:
            yield fail(check.subject, plain(exc), _enable(clients))


def _enable(clients: Clients) -> str:
    """Return the command that makes the services available: in a project of Google Cloud, or in a local twin."""
    if clients.storage.api_endpoint.startswith("https://"):
        return gcloud(clients.project, "services", "enable", "pubsub.googleapis.com", "storage.googleapis.com")
    return START_TWIN
