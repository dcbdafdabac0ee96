"""Topics of Kafka with settings of their own."""

from __future__ import annotations

from tests.waiting import until

PARTITIONS = 4


def create(bootstrap: str, *names: str, **settings: str) -> None:
    """Create topics; `settings` by Kafka's names."""
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": bootstrap})
    for done in admin.create_topics([NewTopic(name, PARTITIONS, 1, config=settings) for name in names]).values():
        done.result(10)
    assert until(lambda: {*names} <= {*admin.list_topics(timeout=10).topics})
