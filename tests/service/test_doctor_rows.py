"""The doctor on BigQuery subscriptions. The twin has none, so tests create one and set its state."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from google.pubsub_v1.types import BigQueryConfig

from infra.local.twin import Twin
from tests.service.doctor_harness import PROJECT, DoctorHarness

SINK, DEAD, KEEPER = "res_predict-bigquery", "dead_bigquery", "dead_bigquery-sub"
APPLY = f"make deploy PROJECT={PROJECT} REGION=europe-west1"
TABLE = f"{PROJECT}.predictions.responses"
AGENT = "serviceAccount:service-local@gcp-sa-pubsub.iam.gserviceaccount.com"
KEPT = "--ack-deadline=60 --message-retention-duration=604800s --expiration-period=never"
MADE = (
    f"topics create {DEAD}",
    f"subscriptions create {KEEPER} --topic={DEAD} {KEPT}",
    f"subscriptions create {SINK} --topic=res_predict {KEPT} --min-retry-delay=10s --max-retry-delay=600s"
    f" --dead-letter-topic={DEAD} --max-delivery-attempts=20",
    f"topics add-iam-policy-binding {DEAD} --member={AGENT} --role=roles/pubsub.publisher",
    f"subscriptions add-iam-policy-binding {SINK} --member={AGENT} --role=roles/pubsub.subscriber",
)


@pytest.fixture
def twin() -> Iterator[Twin]:
    with Twin(worker=None, project=PROJECT) as running:
        yield running


@pytest.fixture
def writing(harness: DoctorHarness) -> DoctorHarness:
    """Create the resources of infra/results.tf."""
    for command in MADE:
        harness.gcloud.obey(f"gcloud pubsub {command} --project={PROJECT}")
    _state(harness, "ACTIVE")
    return harness


def _state(harness: DoctorHarness, name: str, table: str = TABLE) -> None:
    """Have the subscription say that it writes to a table, and how that goes."""
    found = harness.twin._pubsub._broker.subscription(harness.gcloud.subscription(SINK))  # type: ignore[union-attr]
    found.config.bigquery_config.table, found.config.bigquery_config.state = table, BigQueryConfig.State[name].value


def test_the_doctor_accepts_a_working_bigquery_subscription(writing: DoctorHarness) -> None:
    assert writing.visit() == (0, [])


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ("PERMISSION_DENIED", "Pub/Sub's service agent may not write there, or BigQuery is not enabled"),
        ("NOT_FOUND", "the table does not exist"),
        ("SCHEMA_MISMATCH", "the table's columns do not match the responses"),
        ("IN_TRANSIT_LOCATION_RESTRICTION", "IN_TRANSIT_LOCATION_RESTRICTION"),
    ],
)
def test_the_doctor_reports_a_bigquery_subscription_that_fails(writing: DoctorHarness, state: str, why: str) -> None:
    _state(writing, state)
    code, [found] = writing.visit()
    assert (code, found["level"], found["subject"], found["fix"]) == (1, "fail", f"rows {SINK}", APPLY)
    assert found["message"] == f"writes nothing to {TABLE}: {why}"


def test_the_doctor_reports_a_subscription_without_a_table(writing: DoctorHarness) -> None:
    _state(writing, "STATE_UNSPECIFIED", table="")
    code, [found] = writing.visit()
    assert (code, found["message"], found["fix"]) == (1, "writes to no table", APPLY)


def test_the_doctor_reports_a_bigquery_subscription_of_another_topic(writing: DoctorHarness) -> None:
    writing.remake(SINK, "req_predict")
    _, findings = writing.visit()
    [found] = [each for each in findings if each["subject"] == f"rows {SINK}"]
    assert found["message"] == "is on the topic req_predict, not res_predict"
    assert found["fix"] == f"gcloud pubsub subscriptions delete {SINK} --project={PROJECT} && {APPLY}"


Break = Callable[[DoctorHarness], object]
BROKEN: list[tuple[str, Break, str, str]] = [
    ("nobody holds", lambda w: w.gcloud.subscriber.delete_subscription(subscription=w.gcloud.subscription(KEEPER)),
     f"dead letters {DEAD}", "are lost: no subscription holds them"),
    ("expires", lambda w: w.update(KEEPER, expiration_policy={"ttl": {"seconds": 86400}}),
     f"subscription {KEEPER}", "expiration is 86400s, not never"),
    ("no grant to move", lambda w: w.revoke(w.gcloud.topic(DEAD), "roles/pubsub.publisher"),
     f"grant {DEAD}", "Pub/Sub's service agent may not publish to it"),
    ("no grant to take", lambda w: w.revoke(w.gcloud.subscription(SINK), "roles/pubsub.subscriber"),
     f"grant {SINK}", "Pub/Sub's service agent may not subscribe to it"),
]  # fmt: skip


@pytest.mark.parametrize(("broken", "what", "said"), [pytest.param(*row[1:], id=row[0]) for row in BROKEN])
def test_dead_letters_of_rows_are_found_and_the_command_fixes_them(
    writing: DoctorHarness, broken: Break, what: str, said: str
) -> None:
    broken(writing)
    code, findings = writing.visit()
    [found] = [each for each in findings if each["subject"] == what]
    assert code == 1 and said in found["message"]
    for command in dict.fromkeys(each["fix"] for each in findings):
        writing.gcloud.obey(command)
    assert writing.visit() == (0, [])


def test_the_doctor_reports_too_few_delivery_attempts_for_rows(harness: DoctorHarness) -> None:
    for command in MADE:
        harness.gcloud.obey(f"gcloud pubsub {command} --project={PROJECT}")
    dead_letters = {"dead_letter_topic": harness.gcloud.topic(DEAD), "max_delivery_attempts": 5}
    harness.update(SINK, dead_letter_policy=dead_letters)  # the twin refuses this once it writes
    _state(harness, "ACTIVE")
    code, [found] = harness.visit()
    assert (code, found["message"]) == (
        1,
        f"dead-letter policy is {DEAD} after 5 attempts, not {DEAD} after 20 attempts",
    )
    update = f"gcloud pubsub subscriptions update {SINK} --dead-letter-topic={DEAD} --max-delivery-attempts=20"
    assert found["fix"] == f"{update} --project={PROJECT}"
