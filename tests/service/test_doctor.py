"""The doctor against the whole twin: each fault is found, and the printed command fixes it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from client.__main__ import main
from infra.local.twin import Twin
from tests.service.doctor_harness import PROJECT, DoctorHarness

PUBLISH, SUBSCRIBE = "roles/pubsub.publisher", "roles/pubsub.subscriber"
STORAGE = "serviceAccount:service-local@gs-project-accounts.iam.gserviceaccount.com"
DEAD_LETTERS = {"dead_letter_topic": "projects/local/topics/dead_predict", "max_delivery_attempts": 5}


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twin]:
    with Twin(worker="push", project=PROJECT, log_path=tmp_path_factory.mktemp("twin") / "worker.log") as running:
        yield running


def test_a_healthy_twin_passes_all_checks(harness: DoctorHarness) -> None:
    assert main(["doctor"], os.environ) == 0
    said = harness.capsys.readouterr()
    assert len(said.out.splitlines()) == 24 and all(line.startswith("ok    ") for line in said.out.splitlines())
    assert said.err == "24 ok, 0 warn, 0 fail\n"


Break = Callable[[DoctorHarness], object]
REQ, RES, DEAD = "req_predict-sub", "res_predict-sub", "dead_predict-sub"
BROKEN: list[tuple[str, Break, str, str, str]] = [
    ("topic gone", lambda w: w.gcloud.publisher.delete_topic(topic=w.gcloud.topic("res_predict")),
     "fail", "topic res_predict", "does not exist"),
    ("dead topic gone", lambda w: w.gcloud.publisher.delete_topic(topic=w.gcloud.topic("dead_predict")),
     "fail", "dead letters dead_predict", "are lost: no subscription holds them"),
    ("topic not replayable", lambda w: w.gcloud.obey(
        "gcloud pubsub topics update req_predict --clear-message-retention-duration --project=local"),
     "warn", "topic req_predict", "can be replayed for 0s, not 86400s"),
    ("topic replayable", lambda w: w.gcloud.obey(
        "gcloud pubsub topics update dead_predict --message-retention-duration=3600s --project=local"),
     "warn", "topic dead_predict", "can be replayed for 3600s, not 0s"),
    ("subscription gone", lambda w: w.gcloud.subscriber.delete_subscription(subscription=w.gcloud.subscription(RES)),
     "fail", f"subscription {RES}", "does not exist"),
    ("pushed subscription gone", lambda w: w.gcloud.subscriber.delete_subscription(
        subscription=w.gcloud.subscription(REQ)), "fail", f"subscription {REQ}", "does not exist"),
    ("deadline", lambda w: w.update(REQ, ack_deadline_seconds=30),
     "fail", f"subscription {REQ}", "ack deadline is 30s, not 60s"),
    ("retention", lambda w: w.update(RES, message_retention_duration={"seconds": 600}),
     "fail", f"subscription {RES}", "retention is 600s, not 604800s"),
    ("expires", lambda w: w.update(RES, expiration_policy={"ttl": {"seconds": 86400}}),
     "fail", f"subscription {RES}", "expiration is 86400s, not never"),
    ("no backoff", lambda w: w.update(RES, retry_policy=None),
     "fail", f"subscription {RES}", "retry is immediately, not 10s to 600s"),
    ("backoff", lambda w: w.update(DEAD, retry_policy={"minimum_backoff": {"seconds": 10}}),
     "fail", f"subscription {DEAD}", "retry is 10s to 600s, not immediately"),
    ("no dead letters", lambda w: w.update(REQ, dead_letter_policy=None),
     "fail", f"subscription {REQ}", "dead-letter policy is none, not dead_predict after 20 attempts"),
    ("attempts", lambda w: w.update(REQ, dead_letter_policy=DEAD_LETTERS, ack_deadline_seconds=30),
     "fail", f"subscription {REQ}", "ack deadline is 30s, not 60s; dead-letter policy is dead_predict after 5"),
    ("dead letters of responses", lambda w: w.update(RES, dead_letter_policy=DEAD_LETTERS),
     "fail", f"subscription {RES}", "dead-letter policy is dead_predict after 5 attempts, not none"),
    ("filter", lambda w: w.remake(RES, "res_predict", filter='attributes.a = "b"'),
     "fail", f"subscription {RES}", 'has the filter attributes.a = "b", not none'),
    ("other topic", lambda w: w.remake(DEAD, "req_predict"),
     "fail", "dead letters dead_predict", "are lost: no subscription holds them"),
    ("detached", lambda w: w.gcloud.publisher.detach_subscription({"subscription": w.gcloud.subscription(DEAD)}),
     "fail", f"subscription {DEAD}", "is detached from its topic"),
    ("nobody holds", lambda w: w.gcloud.subscriber.delete_subscription(subscription=w.gcloud.subscription(DEAD)),
     "fail", "dead letters dead_predict", "are lost: no subscription holds them"),
    ("pushed elsewhere", lambda w: w.push(REQ, "http://127.0.0.1:9/"),
     "warn", f"push {REQ}", "pushes to http://127.0.0.1:9, not to the worker at http://127.0.0.1:"),
    ("wrong entry point", lambda w: w.push("dead_predict-announce", f"{w.twin.worker_url}/"),
     "fail", "push dead_predict-announce", "which is not the worker's path /dead"),
    ("unsigned", lambda w: w.push(REQ, w.secure),
     "fail", f"push {REQ}", "/ without a valid token: no service account is set"),
    ("for anybody", lambda w: w.push(REQ, w.secure, {"service_account_email": "a@b.iam.gserviceaccount.com"}),
     "fail", f"push {REQ}", "/ without a valid token: no audience is set"),
    ("not pushed", lambda w: w.push(REQ, ""),
     "warn", f"push {REQ}", "waits for a pull worker, but there is a push worker at http://127.0.0.1:"),
    ("responses pushed", lambda w: w.push(RES, "http://127.0.0.1:9/"),
     "fail", f"push {RES}", "pushes to http://127.0.0.1:9/, but should be pulled"),
    ("no grant to move", lambda w: w.revoke(w.gcloud.topic("dead_predict"), PUBLISH),
     "fail", "grant dead_predict", "Pub/Sub's service agent may not publish to it"),
    ("no grant to take", lambda w: w.revoke(w.gcloud.subscription(REQ), SUBSCRIBE),
     "fail", f"grant {REQ}", "Pub/Sub's service agent may not subscribe to it"),
    ("no grant to notify", lambda w: w.revoke(w.gcloud.topic("req_predict"), PUBLISH),
     "fail", "grant req_predict", "Storage's service agent may not publish to it"),
    ("another role", lambda w: w.revoke(w.gcloud.topic("req_predict"), SUBSCRIBE, members=[STORAGE]),
     "fail", "grant req_predict", "Storage's service agent may not publish to it"),
    ("a grant for a while", lambda w: w.revoke(w.gcloud.topic("req_predict"), PUBLISH, members=[STORAGE], condition=
        {"title": "for a while", "expression": 'request.time < timestamp("2020-01-01T00:00:00Z")'}),
     "fail", "grant req_predict", "Storage's service agent may not publish to it"),
    ("no uploads bucket", lambda w: w.empty("uploads"), "fail", "bucket uploads", "does not exist"),
    ("no payloads bucket", lambda w: w.empty("payloads"), "fail", "bucket payloads", "does not exist"),
    ("no notification", lambda w: w.hush(),
     "fail", "notification uploads", "does not notify req_predict: images uploaded there are not answered"),
    ("other events", lambda w: w.renotify(event_types=["OBJECT_DELETE"]),
     "fail", "notification uploads", "notifies req_predict of OBJECT_DELETE, not of OBJECT_FINALIZE"),
    ("no payload", lambda w: w.renotify(payload_format="NONE"),
     "fail", "notification uploads", "notifies req_predict with the payload NONE, not JSON_API_V1"),
    ("some names", lambda w: w.renotify(object_name_prefix="in/"),
     "fail", "notification uploads", "notifies req_predict only of names that begin with in/"),
    ("twice", lambda w: w.notify(),
     "warn", "notification uploads", "notifies req_predict 2 times, so each image may be answered 2 times"),
]  # fmt: skip


@pytest.mark.parametrize(("broken", "level", "what", "said"), [pytest.param(*row[1:], id=row[0]) for row in BROKEN])
def test_what_is_broken_is_found_and_its_command_fixes_it(
    harness: DoctorHarness, broken: Break, level: str, what: str, said: str
) -> None:
    broken(harness)
    code, findings = harness.visit()
    assert code == (1 if any(each["level"] == "fail" for each in findings) else 0)
    [found] = [each for each in findings if each["subject"] == what]
    assert found["level"] == level and said in found["message"] and found["fix"].startswith("gcloud ")
    for _ in range(2):  # a recreated resource has lost its grants
        for command in dict.fromkeys(each["fix"] for each in findings):
            harness.gcloud.obey(command)
        code, findings = harness.visit()
    assert (code, findings) == (0, [])
