"""Topics of Kafka with settings of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.waiting import until

PARTITIONS = 4


def create(bootstrap: str, *names: str, **settings: str) -> None:
    """Create topics; `settings` by Kafka's names."""
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": bootstrap})
    create_all(admin, [NewTopic(name, PARTITIONS, 1, config=settings) for name in names])


def create_all(admin: Any, topics: Sequence[Any]) -> None:
    """Create topics, and return once the brokers show them."""
    created = admin.create_topics(topics)
    for done in created.values():
        done.result(30)
    assert until(lambda: {*created} <= {*admin.list_topics(timeout=10).topics})
