"""The Publisher service: topics, and publishing to them."""

from __future__ import annotations

from typing import Any

from google.pubsub_v1 import types

from infra.local.pubsub import wire
from infra.local.pubsub.broker import DELETED_TOPIC, Broker
from infra.local.pubsub.limits import PUBLISH_LIMIT, check_labels, check_message
from infra.local.pubsub.masks import merged
from infra.local.pubsub.policy import check_retention, check_transforms
from infra.local.pubsub.refusal import already_exists, check_name, invalid
from infra.local.pubsub.resources import Topic
from infra.local.pubsub.schemas import Schemas

_IMMUTABLE = frozenset({"name", "satisfies_pzs", "state", "tags"})
_ACTIVE, _INGESTION_RESOURCE_ERROR = 1, 2


class Publisher:
    """The methods of google.pubsub.v1.Publisher, by their names there."""

    def __init__(self, broker: Broker, schemas: Schemas) -> None:
        self._broker, self._schemas = broker, schemas

    def CreateTopic(self, request: Any) -> Any:
        _check(request, self._schemas)
        if request.name in self._broker.topics:
            raise already_exists(request.name)
        self._broker.topics[request.name] = Topic(request)
        return request

    def UpdateTopic(self, request: Any) -> Any:
        topic = self._broker.topic(request.topic.name)
        config = merged(topic.config, request.topic, request.update_mask, immutable=_IMMUTABLE)
        _check(config, self._schemas)
        topic.configure(config)
        return config

    def GetTopic(self, request: Any) -> Any:
        return self._broker.topic(request.topic).config

    def ListTopics(self, request: Any) -> Any:
        names = sorted(name for name in self._broker.topics if name.startswith(f"{request.project}/topics/"))
        names, token = wire.page(names, request.page_size, request.page_token)
        topics = [self._broker.topics[name].config for name in names]
        return wire.ListTopicsResponse(topics=topics, next_page_token=token)

    def ListTopicSubscriptions(self, request: Any) -> Any:
        names = sorted(self._broker.topic(request.topic).subscriptions)
        names, token = wire.page(names, request.page_size, request.page_token)
        return wire.ListTopicSubscriptionsResponse(subscriptions=names, next_page_token=token)

    def ListTopicSnapshots(self, request: Any) -> Any:
        names = sorted(self._broker.topic(request.topic).logs)
        names, token = wire.page(names, request.page_size, request.page_token)
        return wire.ListTopicSnapshotsResponse(snapshots=names, next_page_token=token)

    def DeleteTopic(self, request: Any) -> Any:
        topic = self._broker.topic(request.topic)
        del self._broker.topics[request.topic]
        for subscription in topic.subscriptions.values():  # subscriptions remain and keep their backlog
            subscription.config.topic = DELETED_TOPIC
        for name in topic.logs:
            self._broker.snapshots[name].config.topic = DELETED_TOPIC
        return wire.Empty()

    def DetachSubscription(self, request: Any) -> Any:
        self._broker.detach(request.subscription)
        return types.DetachSubscriptionResponse.pb()()

    def Publish(self, request: Any) -> Any:
        if not request.messages:
            raise invalid("There are no messages to publish")
        if len(request.messages) > 1000:
            raise invalid(f"There are {len(request.messages)} messages to publish; at most 1000 are allowed")
        if len(request.messages) > 1 and (size := request.ByteSize()) > PUBLISH_LIMIT:
            raise invalid(f"The request is {size} bytes; at most {PUBLISH_LIMIT} are allowed")
        topic = self._broker.topic(request.topic)
        for message in request.messages:
            check_message(message)
        self._schemas.validate(topic.config, request.messages)
        return wire.PublishResponse(message_ids=self._broker.publish(request.topic, request.messages))


def _check(config: Any, schemas: Schemas) -> None:
    check_name("topics", config.name)
    check_labels(config.labels)
    check_retention(config)
    check_transforms(config)
    policy = config.message_storage_policy
    if config.HasField("message_storage_policy") and not policy.allowed_persistence_regions:
        raise invalid("message_storage_policy.allowed_persistence_regions is empty; it must name at least one region")
    config.ClearField("tags")  # the cloud returns none
    # The cloud's state for a source that it cannot reach; this server can reach none.
    config.state = _INGESTION_RESOURCE_ERROR if config.HasField("ingestion_data_source_settings") else _ACTIVE
    if config.HasField("schema_settings"):
        schemas.check_settings(config)
