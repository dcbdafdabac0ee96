"""The round: every check in its order, and what is said where one cannot look."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from client.doctor.artifact import BUCKET, check_artifact
from client.doctor.buckets import check_bucket, check_notification
from client.doctor.clients import Clients, Unseen
from client.doctor.clock import check_clock
from client.doctor.dead_letters import check_dead_letters, holders
from client.doctor.finding import Finding, fail, warn
from client.doctor.gcloud import allow_caller, gcloud
from client.doctor.grants import check_grant, grants
from client.doctor.rows import check_rows
from client.doctor.settings import short
from client.doctor.subscriptions import check_subscription
from client.doctor.topics import check_topic
from client.doctor.wanted import Wanted
from client.doctor.worker import Deployment
from client.text import plain

LOGIN = "gcloud auth application-default login"

_PUBSUB, _STORAGE = ("Pub/Sub",), ("Cloud Storage",)

Look = Callable[[Clients], Iterable[Finding]]


@dataclass(frozen=True, slots=True)
class Check:
    """Something to look at. `needs`: whose answers; when one of them was silent already, it is left."""

    what: str
    look: Look
    needs: tuple[str, ...]


def checks(
    wanted: Wanted, rows: Wanted, buckets: Iterable[str], deployment: Deployment, artifact: str
) -> Iterator[Check]:
    """What there is to look at, in the order of an image's way."""
    for topic in wanted.topics:
        yield Check(f"topic {short(topic.name)}", partial(check_topic, wanted=topic), _PUBSUB)
    for each in wanted.subscriptions:
        look: Look = partial(check_subscription, wanted=each, deployment=deployment)
        yield Check(f"subscription {short(each.name)}", look, _PUBSUB)
    for dead, keepers in holders(wanted).items():
        look = partial(check_dead_letters, topic=dead, keepers=keepers, deployment=deployment)
        yield Check(f"dead letters {short(dead)}", look, _PUBSUB)
    for bucket in buckets:
        yield Check(f"bucket {bucket}", partial(check_bucket, name=bucket, region=deployment.region), _STORAGE)
    for notification in wanted.notifications:
        look = partial(check_notification, wanted=notification)
        yield Check(f"notification {notification.bucket}", look, _STORAGE)
    for grant in grants(wanted):
        yield Check(grant.what, partial(check_grant, grant=grant), _PUBSUB + _STORAGE)
    look = partial(check_rows, wanted=rows, deployment=deployment)
    yield Check(f"rows {short(rows.subscriptions[0].name)}", look, _PUBSUB + _STORAGE)
    yield Check("artifact", partial(check_artifact, place=artifact), _STORAGE if artifact.startswith(BUCKET) else ())
    yield Check("clock", check_clock, _STORAGE)


def examine(clients: Clients, listed: Iterable[Check]) -> Iterator[Finding]:
    """Look at everything; what cannot be looked at has a line too."""
    import requests
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError

    away = (
        exceptions.Forbidden,  # not Unseen: switched off
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
            yield from check.look(clients)
        except Unseen as exc:
            mend = allow_caller(clients.project, exc.permission)
            yield warn(check.what, f"you may not look at it: {exc.permission} is missing", mend)
        except exceptions.MethodNotImplemented:
            yield warn(check.what, "cannot be looked at: this server keeps no such thing", "make up")
        except GoogleAuthError as exc:
            silent.update(check.needs)
            yield fail(check.needs[0], plain(exc), LOGIN)
        except away as exc:
            silent.add(check.needs[0])
            why = type(exc).__name__ if isinstance(exc, requests.RequestException) else plain(exc)
            yield fail(check.needs[0], f"does not answer: {why}", _begin(clients))
        except exceptions.GoogleAPICallError as exc:
            yield fail(check.what, plain(exc), _begin(clients))


def _begin(clients: Clients) -> str:
    """What brings the services to life: Google's are switched on for a project, others are those of the twin."""
    if clients.storage.api_endpoint.startswith("https://"):
        return gcloud(clients.project, "services", "enable", "pubsub.googleapis.com", "storage.googleapis.com")
    return "make up"
