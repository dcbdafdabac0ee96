"""Checks a cluster before the first message: brokers answer, have the topics, and let this user read and write them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from functions.kafka.connection import admin_client, library, sentence_of
from model.text import listed

REACH_S = 5.0
"""Seconds for the first answer of a broker: with the start of the process, a user waits less than 10."""


class BrokerUnreachable(Exception):
    """No broker answered in time, or none accepted its credentials."""


class MissingTopics(BrokerUnreachable):
    """The brokers answer, and do not show all of the topics."""


class MissingRights(BrokerUnreachable):
    """The brokers answer, and do not let this user do all that it must do with the topics."""


def check_cluster(
    properties: Mapping[str, Any], topics: Mapping[str, Collection[str]], timeout_s: float = REACH_S
) -> None:
    """Ask the brokers for the topics, and for the operations that each must allow, `READ` or `WRITE`.

    Raises BrokerUnreachable, MissingTopics or MissingRights, within `timeout_s` for each of two questions.
    """
    failures: list[Any] = []
    servers = properties["bootstrap.servers"]
    admin = admin_client({**properties, "error_cb": failures.append})
    try:
        known = admin.list_topics(timeout=timeout_s).topics
    except library().KafkaException as exc:
        admin.poll(0)  # calls error_cb
        why = _why_unreachable(failures, properties) or sentence_of(exc)
        raise BrokerUnreachable(f"no Kafka broker at {servers} answered within {timeout_s:g} s: {why}") from None
    missing = [topic for topic in topics if topic not in known or known[topic].error]
    if missing:
        raise MissingTopics(
            f"the Kafka brokers at {servers} show no topic {listed(missing)}: "
            "create it, or grant the right to describe it"
        )
    needed = {topic: operations for topic, operations in topics.items() if operations}
    if needed and (absent := _missing_rights(admin, needed, timeout_s)):
        raise MissingRights(f"the Kafka brokers at {servers} refuse what this user must do: grant {listed(absent)}")


def _why_unreachable(failures: Sequence[Any], properties: Mapping[str, Any]) -> str:
    """What librdkafka reported; "" for nothing. Of a connection that a broker closes it reports the end alone."""
    reported = [failure for failure in failures if failure.code() != library().KafkaError._ALL_BROKERS_DOWN]
    if reported or not failures:
        return str(reported[0].str()) if reported else ""
    protocol = properties.get("security.protocol", "PLAINTEXT")
    return (
        f"the connection is closed at once, as when security.protocol, here {protocol}, is not that of the listener "
        "(KAFKA_CONFIG)"
    )


def _missing_rights(admin: Any, needed: Mapping[str, Collection[str]], timeout_s: float) -> list[str]:
    """The rights that this user has not, such as `Write on the topic res_predict`, where the brokers tell them."""
    asked = library().TopicCollection(list(needed))
    answer = admin.describe_topics(asked, include_authorized_operations=True, request_timeout=timeout_s)
    missing: list[str] = []
    for topic, operations in needed.items():
        try:
            allowed = {each.name for each in answer[topic].result(timeout_s + 1).authorized_operations or ()}
        except library().KafkaException:  # brokers before Kafka 2.3: the first message shows what is missing
            allowed = set()
        if allowed:
            missing += [f"{each.capitalize()} on the topic {topic}" for each in operations if each not in allowed]
    return missing
