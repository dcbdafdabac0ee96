"""The older systems' shape on a topic: a consumer that loads the model for each message."""

from __future__ import annotations

import json
import os
from typing import Any

from google.cloud import pubsub_v1

from tests.bench.peers.servers.served import KerasNetwork

PUBLISH_S = 60.0


def main() -> None:
    """Answer messages one after the other, until the process is ended."""
    project = os.environ["GOOGLE_CLOUD_PROJECT"]
    publisher, subscriber = pubsub_v1.PublisherClient(), pubsub_v1.SubscriberClient()

    def handle(message: Any) -> None:
        body = json.dumps(KerasNetwork().answer(message.data)).encode()
        asked = message.attributes["request_id"]
        publisher.publish(f"projects/{project}/topics/res_predict", body, request_id=asked, status="ok").result(
            PUBLISH_S
        )
        message.ack()

    flow = pubsub_v1.types.FlowControl(max_messages=1)
    subscriber.subscribe(f"projects/{project}/subscriptions/req_predict-sub", handle, flow_control=flow).result()


if __name__ == "__main__":
    main()
