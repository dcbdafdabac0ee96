"""The commands of `predictions dead-letters`, on both brokers."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from client.__main__ import main
from client.dead_letters import subscription as leases
from client.dead_letters.subscription import DeadLetterSubscription
from functions.messages.contract import DEAD_LETTER, Error, Response, encode_response, response_attributes
from tests.brokers import Cloud
from tests.waiting import nack, nothing, pull, until

DEAD = {"CloudPubSubDeadLetterSourceSubscription": "req_predict-sub", "CloudPubSubDeadLetterSourceDeliveryCount": "20"}


@dataclass(frozen=True, slots=True)
class Deployment:
    """The topics and subscriptions that the commands use, and the commands themselves."""

    cloud: Cloud
    capsys: pytest.CaptureFixture[str]
    requests: str
    dead: str

    def die(self, *request_ids: str, data: bytes = b"\x89PNG image", **attributes: str) -> None:
        """Publish dead letters."""
        topic = f"projects/{self.cloud.project}/topics/dead_predict"
        for each in request_ids:
            self.cloud.publisher.publish(topic, data, request_id=each, **DEAD | attributes).result(10)

    def run(self, *words: str) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        code = main(["dead-letters", *words, "--project", self.cloud.project], os.environ)
        said = self.capsys.readouterr()
        return code, said.out, said.err

    def lines(self, *words: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.run(*words, "--json")[1].splitlines()]

    def held(self) -> list[str]:
        """The request ids of all dead letters, which are available again at once."""
        received = pull(self.cloud, self.dead, 100, timeout_s=1.0)
        if received:
            nack(self.cloud, self.dead, received)
        return sorted(each.message.attributes["request_id"] for each in received)

    def requested(self, count: int) -> list[dict[str, str]]:
        """The attributes of the requests that were published, `count` at most."""
        received = pull(self.cloud, self.requests, count, timeout_s=2.0)
        return sorted((dict(each.message.attributes) for each in received), key=lambda each: each["request_id"])


@pytest.fixture
def deployment(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Deployment]:
    monkeypatch.setattr(leases, "WAIT_S", 2.0)
    cloud.topic("res_predict", message_retention_duration={"seconds": 600})
    requests = cloud.subscription(cloud.topic("req_predict"), "req_predict-sub")
    made = Deployment(cloud, capsys, requests, cloud.subscription(cloud.topic("dead_predict"), "dead_predict-sub"))
    yield made
    found = cloud.subscriber.list_subscriptions(project=f"projects/{cloud.project}")
    assert {each.name for each in found} == {made.requests, made.dead}, "a subscription was left behind"


def test_list_leaves_the_dead_letters_available(deployment: Deployment) -> None:
    deployment.die("r1", "r2", filename="shoe.png")
    for _ in range(2):
        listed = deployment.lines("list", "--no-reasons")
        assert [(each["request_id"], each["attempts"], each["file"]) for each in listed] == [
            ("r1", 20, "shoe.png"),
            ("r2", 20, "shoe.png"),
        ]
        assert deployment.held() == ["r1", "r2"]


def test_list_reads_more_than_a_page_once_each(deployment: Deployment) -> None:
    ids = [f"r{number:03d}" for number in range(2 * leases.PAGE + 7)]
    deployment.die(*ids)
    assert sorted(each["request_id"] for each in deployment.lines("list", "--no-reasons")) == ids
    code, out, err = deployment.run("list", "--no-reasons", "--limit", "60")
    assert code == 0 and len(out.splitlines()) == 61 and "more than the limit of 60" in err


def test_the_reason_is_that_of_the_announcement(deployment: Deployment) -> None:
    cloud = deployment.cloud
    for request_id, text in (("r1", f"{DEAD_LETTER}: Timeout"), ("r2", DEAD_LETTER), ("other", f"{DEAD_LETTER}: no")):
        response = Response(request_id, error=Error("unavailable", text))
        topic = f"projects/{cloud.project}/topics/res_predict"
        cloud.publisher.publish(topic, encode_response(response), **response_attributes(response)).result(10)
    deployment.die("r1", "r2", "r3")
    reasons = {each["request_id"]: each["reason"] for each in deployment.lines("list")}
    assert reasons == {"r1": "Timeout", "r2": "unknown", "r3": "unknown"}
    code, out, _ = deployment.run("redrive", "--dry-run")
    assert (code, re.split(r"\s{2,}|\n", out.strip())) == (
        0,
        ["dead letters", "reason", "2", "unknown", "1", "Timeout"],
    )


def test_reasons_are_unknown_without_a_response_topic(deployment: Deployment) -> None:
    deployment.die("r1")
    code, out, err = deployment.run("list", "--response-topic", "missing")
    assert code == 0 and out.splitlines()[1].endswith("unknown") and "the announcements cannot be read" in err


def test_show_saves_the_payload_and_leaves_the_dead_letter(deployment: Deployment, tmp_path: Path) -> None:
    deployment.die("r1", "r2", filename="../evil.png")
    code, out, err = deployment.run("show", "r1", "--save", str(tmp_path), "--no-reasons")
    (saved,) = tmp_path.iterdir()
    assert code == 0 and saved.read_bytes() == b"\x89PNG image" and saved.suffix == ".png" and str(saved) in err
    assert "filename = ../evil.png" in out and deployment.held() == ["r1", "r2"]
    again = tmp_path / saved.name
    assert deployment.run("show", "r1", "--save", str(again), "--no-reasons")[0] == 1
    assert deployment.run("show", "r9", "--no-reasons")[0] == 1


def test_redrive_publishes_and_acks(deployment: Deployment) -> None:
    deployment.die("r1", "r2", color="red")
    deployment.die("expired", expires_at="2020-01-01T00:00:00Z")
    deployment.die("often", redriven="3")
    code, out, err = deployment.run("redrive", "--dry-run", "--no-reasons")
    assert code == 1 and "2 would be redriven, 2 left in place" in err and "left: expired: expired at 2020" in out
    assert nothing(deployment.cloud, deployment.requests)

    code, out, err = deployment.run("redrive")
    assert code == 1 and "2 redriven, 2 left in place" in err
    assert sorted(out.splitlines()) == [
        "left: expired: expired at 2020-01-01T00:00:00.000Z",
        "left: often: redriven 3 times already, the limit is 3",
        "redriven: r1",
        "redriven: r2",
    ]
    common = {"color": "red", "redriven": "1"}
    assert deployment.requested(2) == [{"request_id": "r1", **common}, {"request_id": "r2", **common}]
    assert deployment.held() == ["expired", "often"]

    assert deployment.run("redrive", "expired", "--keep-expired")[0] == 0
    assert deployment.held() == ["often"]


def test_redrive_with_a_limit_and_with_ids(deployment: Deployment) -> None:
    deployment.die("r1", "r2", "r3")
    assert deployment.run("redrive", "--limit", "1")[0] == 0
    assert len(deployment.held()) == 2
    [first, *_] = deployment.held()
    code, _, err = deployment.run("redrive", first, "r9")
    assert code == 1 and "no dead letter has the id r9" in err and len(deployment.held()) == 1


def test_a_request_cannot_circle(deployment: Deployment) -> None:
    deployment.die("r1")
    for number in (1, 2, 3):
        assert deployment.run("redrive")[0] == 0
        (received,) = pull(deployment.cloud, deployment.requests)
        assert received.message.attributes["redriven"] == str(number)
        deployment.cloud.subscriber.acknowledge(subscription=deployment.requests, ack_ids=[received.ack_id])
        deployment.die("r1", redriven=received.message.attributes["redriven"])
    assert deployment.run("redrive")[0] == 1 and deployment.held() == ["r1"]


def test_nothing_is_lost_without_a_request_topic(deployment: Deployment) -> None:
    deployment.die("r1")
    code, _, err = deployment.run("redrive", "--topic", "missing")
    assert code == 1 and "0 redriven" in err and "check --project, --subscription and --topic" in err
    assert deployment.held() == ["r1"]


def test_a_killed_redrive_loses_nothing(deployment: Deployment, root: Path) -> None:
    ids = [f"r{number:03d}" for number in range(60)]
    deployment.die(*ids)
    words = ["dead-letters", "redrive", "--rate", "20", "--project", deployment.cloud.project]
    process = subprocess.Popen([sys.executable, "-m", "client", *words], cwd=root, stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline().startswith(b"redriven: ")
    process.kill()
    process.wait()
    process.stdout.close()

    published = {each["request_id"] for each in deployment.requested(60)}
    assert published and published < {*ids}
    # What the killed process had leased is available when its lease ends, after a minute.
    assert until(lambda: published | {*deployment.held()} == {*ids}, 2 * leases.LEASE_S)


def test_purge_asks_for_the_number(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    deployment.die("r1", "r2")
    for typed, left in (("", 2), ("y\n", 2), ("1\n", 2), ("2\n", 0)):
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        code, _, err = deployment.run("purge")
        assert code == (2 if not typed else 1 if left else 0), err
        assert len(deployment.held()) == left


def test_purge_by_age_leaves_the_newer_ones_and_what_is_no_dead_letter(deployment: Deployment) -> None:
    deployment.die("r1")
    assert deployment.run("purge", "--yes", "--older-than", "1h")[0] == 0 and deployment.held() == ["r1"]
    topic = f"projects/{deployment.cloud.project}/topics/dead_predict"
    deployment.cloud.publisher.publish(topic, b"", request_id="mine").result(10)
    code, _, err = deployment.run("purge", "--yes")
    assert code == 1 and "1 message stays" in err and deployment.held() == ["mine"]


def test_a_missing_subscription_is_named(deployment: Deployment) -> None:
    for words in (["list"], ["redrive"], ["purge", "--yes"]):
        code, _, err = deployment.run(*words, "--subscription", "missing")
        assert code == 1 and "check --project, --subscription and --topic" in err


def test_a_look_that_counts_as_an_attempt_is_reported(deployment: Deployment) -> None:
    cloud = deployment.cloud
    policy = {"dead_letter_topic": cloud.topic("deader"), "max_delivery_attempts": 5}
    name = cloud.subscription(f"projects/{cloud.project}/topics/dead_predict", "counted", dead_letter_policy=policy)
    deployment.die("r1")
    _, out, err = deployment.run("list", "--no-reasons", "--subscription", "counted")
    assert "r1" in out and "has a dead-letter policy of its own; each look counts as a delivery attempt" in err
    cloud.subscriber.delete_subscription(subscription=name)


def test_leases_are_renewed_while_a_command_waits(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "LEASE_S", 3)
    deployment.die("r1")
    opened = DeadLetterSubscription(deployment.dead, pytest.fail)
    with opened as held, suppress(StopIteration):
        next(held.pages())
        assert nothing(deployment.cloud, deployment.dead, 4.5)
    assert deployment.held() == ["r1"]


def test_what_is_delivered_again_after_its_ack_is_acked_again(deployment: Deployment) -> None:
    deployment.die("r1", "r2")
    with DeadLetterSubscription(deployment.dead, pytest.fail) as held:
        pages = held.pages(1)
        [first] = next(pages)
        ended = {"ack_ids": list(held._held.values()), "ack_deadline_seconds": 0}
        deployment.cloud.subscriber.modify_ack_deadline(subscription=deployment.dead, **ended)
        held.ack([first.message_id])  # with the id of a lease that has ended
        assert first.message_id not in [each.message_id for page in pages for each in page]
    assert len(deployment.held()) == 1
