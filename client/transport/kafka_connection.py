"""How the client connects to Kafka, and Kafka's errors in the words of this program."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

from client.gcp import CALL_TIMEOUT_S, KAFKA, Cloud, UsageError
from client.text import SendError, plain, printable
from functions.kafka.cluster_check import BrokerUnreachable, check_cluster
from functions.kafka.connection import KafkaConfigError, library, properties

Answer = TypeVar("Answer")

READ_COMMITTED = {"enable.auto.commit": False, "isolation.level": "read_committed"}
"""Properties of every consumer: what a transaction has aborted is not read, and positions are committed here."""

_FOR_ALL = {
    "TOPIC_AUTHORIZATION_FAILED": "your user may not use {what}",
    "GROUP_AUTHORIZATION_FAILED": "your user may not use {what}",
    "CLUSTER_AUTHORIZATION_FAILED": "your user may not do this in the cluster",
    "SASL_AUTHENTICATION_FAILED": "the broker refuses the credentials",
    "_AUTHENTICATION": "the broker refuses the credentials",
    "UNKNOWN_TOPIC_OR_PART": "{what} does not exist",
    "_UNKNOWN_TOPIC": "{what} does not exist",
    "_UNKNOWN_PARTITION": "{what} does not exist",
    "UNSUPPORTED_VERSION": "the broker is too old for it",
}
"""Reasons, by the name of the error, that every other message and every other try meets too."""

_MOVING = frozenset(
    {
        "COORDINATOR_LOAD_IN_PROGRESS",
        "COORDINATOR_NOT_AVAILABLE",
        "LEADER_NOT_AVAILABLE",
        "NOT_COORDINATOR",
        "NOT_LEADER_FOR_PARTITION",
        "UNKNOWN_LEADER_EPOCH",
    }
)
"""Errors, by name, that end when the brokers agree again which of them has a partition or a group."""

_PAUSE_S = 0.1
"""Seconds between two calls that meet one of _MOVING."""

_TOO_LARGE = "MSG_SIZE_TOO_LARGE"
_REASONS = _FOR_ALL | {
    _TOO_LARGE: "it is larger than {what} allows: give --bucket and a smaller INLINE_LIMIT, or raise the topic's "
    "max.message.bytes",
    "_MSG_TIMED_OUT": "no broker confirmed it in time",
    "_TIMED_OUT": "no answer in time",
    "_TIMED_OUT_QUEUE": "no answer in time",
    "_TRANSPORT": "no answer",
    "_ALL_BROKERS_DOWN": "no answer",
    "_QUEUE_FULL": "too many messages wait for a confirmation",
    "NOT_ENOUGH_REPLICAS": "too few of the broker's replicas are running",
}


def client_properties(cloud: Cloud) -> dict[str, Any]:
    """Return librdkafka's properties for a cluster. Raises UsageError, also where the library is missing."""
    try:
        return properties(cloud.broker.removeprefix(KAFKA), cloud.kafka_config, os.environ.get("KAFKA_OAUTH", ""))
    except KafkaConfigError as exc:
        raise UsageError(str(exc)) from None


def check_topics(connection: dict[str, Any], *, writes: str = "", reads: str = "") -> None:
    """Check that the broker answers, has the topics and lets them be used. Raises SendError within ten seconds."""
    needed = {writes: ("WRITE",), reads: ("READ",)}
    try:
        check_cluster(connection, {topic: operations for topic, operations in needed.items() if topic})
    except BrokerUnreachable as exc:
        raise SendError(str(exc), for_all=True) from None


def retried(call: Callable[..., Answer], *arguments: Any, timeout_s: float = CALL_TIMEOUT_S) -> Answer:
    """Return what a call with a `timeout` returns. It is made again while a partition or a group has just moved.

    Raises KafkaException.
    """
    until = time.monotonic() + timeout_s
    while True:
        try:
            return call(*arguments, timeout=max(_PAUSE_S, until - time.monotonic()))
        except library().KafkaException as exc:
            if error_name(exc) not in _MOVING or time.monotonic() + _PAUSE_S > until:
                raise
            time.sleep(_PAUSE_S)


def lasts(error: Any) -> bool:
    """Whether a KafkaError comes again with every other message and every other try."""
    return error.name() in _FOR_ALL or bool(error.fatal())


def is_refused(exc: BaseException | Any) -> bool:
    """Whether the broker refuses this one message for good."""
    return error_name(exc) == _TOO_LARGE


def error_name(exc: BaseException | Any) -> str:
    """Return the name that Kafka's protocol gives to an error; "" for another exception."""
    error = _error_of(exc)
    return "" if error is None else str(error.name())


def reason(exc: BaseException | Any, what: str, group: str = "") -> str:
    """Return the reason of a KafkaError, or of an exception of Kafka's library. `what` names what the call was for.

    `group`: the consumer group of the call.
    """
    error = _error_of(exc)
    if error is None:
        return plain(exc, what)
    if group and error.name().startswith("GROUP_"):
        what = f"the group {group}"
    known = _REASONS.get(error.name(), "")
    return known.format(what=what) if known else printable(str(error.str()))


def send_error(doing: str, exc: BaseException | Any, what: str, group: str = "") -> SendError:
    """Return the error of a failed call. `doing` failed; `what` names what the call was for, as in `reason`."""
    error = _error_of(exc)
    for_all = error is not None and lasts(error)
    return SendError(
        f"{doing}: {reason(exc, what, group)}", temporary=not (for_all or is_refused(exc)), for_all=for_all
    )


def _error_of(exc: BaseException | Any) -> Any:
    """Return the KafkaError of an exception, or of what is one; None for another exception."""
    error = exc.args[0] if isinstance(exc, Exception) and exc.args else exc
    return error if hasattr(error, "fatal") else None
