"""Checks, with Terraform's graph, that a fresh project is created in a working order: the rules and their reasons.

The graph contains every resource and output for all values of the variables, so one graph covers all deployments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from itertools import chain

# All nodes that each node waits for, directly or indirectly.
Graph = Mapping[str, frozenset[str]]

_EDGE = re.compile(r'^\s*"\[root\] ([^"]+?)(?: \(expand\))?" -> "\[root\] ([^"]+?)(?: \(expand\))?"$', re.M)
_GRANT = re.compile(r"^google_\w+_iam_member\.")
_RUNS = (
    "google_cloud_run_v2_service.this",
    "google_cloud_run_v2_worker_pool.worker",
    "google_cloudfunctions2_function.worker",
)
_JOB, _SCALER = "google_cloud_run_v2_job.nightly", "google_cloud_run_v2_job.scale"
_TRAINER, _PAGE = "google_cloud_run_v2_job.retrain", "google_cloud_run_v2_service.page"
_REQUESTS, _ROWS = "google_pubsub_subscription.this", "google_pubsub_subscription.bigquery"


@dataclass(frozen=True, slots=True)
class Rule:
    """Each of `after` must wait for each of `before`; both are patterns of names."""

    before: tuple[str, ...]
    after: tuple[str, ...]
    why: str


RULES = (
    Rule(
        ("google_project_service.this",),
        ("google_*", "data.google_*"),
        "an API must be enabled before it is used",
    ),
    Rule(
        ("google_project_service_identity.pubsub",),
        ("*_iam_member.dead_letter", "*_iam_member.dead_bigquery", "*_iam_member.pubsub_agent"),
        "a grant needs an existing member: this resource creates Pub/Sub's agent",
    ),
    Rule(
        ("data.google_storage_project_service_account.this",),
        ("google_pubsub_topic_iam_member.notification",),
        "a grant needs an existing member: this data source creates Storage's agent",
    ),
    Rule(
        ("google_pubsub_topic_iam_member.notification",),
        ("google_storage_notification.this",),
        "Cloud Storage refuses a notification to a topic that its agent may not publish to",
    ),
    Rule(
        ("google_cloud_run_v2_service_iam_member.invoker", "google_service_account_iam_member.pubsub_agent"),
        (_REQUESTS,),
        "a push that is rejected for a missing grant counts as a delivery attempt",
    ),
    Rule(
        ("google_pubsub_topic_iam_member.dead_letter",),
        (_REQUESTS,),
        "a request may become a dead letter from its first attempt, and Pub/Sub's agent publishes it",
    ),
    Rule(
        ("google_bigquery_table_iam_member.pubsub_agent",),
        (_ROWS,),
        "Pub/Sub refuses a subscription to a table that its agent may not write",
    ),
    Rule(
        ("google_pubsub_topic_iam_member.dead_bigquery",),
        (_ROWS,),
        "a response may become a dead letter from its first attempt, and Pub/Sub's agent publishes it",
    ),
    Rule(
        ("google_kms_crypto_key_iam_member.agent",),
        (
            *_RUNS,
            _JOB,
            _SCALER,
            _TRAINER,
            _PAGE,
            "google_pubsub_topic.*",
            "google_storage_bucket.*",
            "google_bigquery_dataset.this",
            "google_artifact_registry_repository.images",
            "google_managed_kafka_cluster.this",
        ),
        "a resource's service agent must be allowed to use the key",
    ),
    Rule(
        ("google_artifact_registry_repository.images",),
        (*_RUNS, _JOB, _SCALER, _TRAINER, _PAGE),
        "the image repository is created before the services that run its images, and deleted after them",
    ),
    Rule(
        (
            "google_pubsub_topic_iam_member.answers",
            "google_storage_bucket_iam_member.worker",
            "google_storage_bucket_iam_member.response_store",
            "google_storage_bucket_iam_member.registry",
            "google_pubsub_topic_iam_member.comparisons",
        ),
        _RUNS,
        "a new instance must be able to read its model, and to store and publish its first response",
    ),
    Rule(
        ("google_storage_bucket_iam_member.endpoint",),
        ("google_cloud_run_v2_service.this",),
        "a new instance must be able to read its artifact",
    ),
    Rule(
        ("google_pubsub_subscription_iam_member.worker",),
        ("google_cloud_run_v2_worker_pool.worker",),
        "a worker pool without the right to pull would be restarted again and again",
    ),
    Rule(
        (
            "google_managed_kafka_topic.this",
            "google_project_iam_member.kafka",
            "google_secret_manager_secret_iam_member.kafka",
        ),
        ("google_cloud_run_v2_worker_pool.worker",),
        "a worker pool that cannot connect, or finds no topics, would be restarted again and again",
    ),
    Rule(
        ("google_project_iam_member.builder", "google_artifact_registry_repository_iam_member.*"),
        ("google_cloudfunctions2_function.worker",),
        "a function is built during its creation, and its build account and Google's agent need these rights",
    ),
    Rule(
        ("google_storage_bucket_iam_member.nightly", "google_pubsub_topic_iam_member.nightly"),
        (_JOB,),
        "the job's first run must be able to list and to publish",
    ),
    Rule(
        ("google_cloud_run_v2_job_iam_member.nightly",),
        ("google_cloud_scheduler_job.nightly",),
        "a schedule without the right to start its job fails at its first run",
    ),
    Rule(
        (
            "google_project_iam_member.scaler",
            "google_cloud_run_v2_worker_pool_iam_member.scaler",
            "google_service_account_iam_member.scaler",
        ),
        (_SCALER,),
        "the job's first run must be able to read the backlog and to change the pool",
    ),
    Rule(
        ("google_cloud_run_v2_job_iam_member.scaler",),
        ("google_cloud_scheduler_job.scale",),
        "a schedule without the right to start its job fails at its first run",
    ),
    Rule(
        (
            "google_storage_bucket_iam_member.training_data",
            "google_storage_bucket_iam_member.registry_writer",
            "google_pubsub_topic_iam_member.training_answers",
            "google_pubsub_subscription_iam_member.trainer",
        ),
        (_TRAINER,),
        "the job's first run must be able to pull, to read images, to push a version and to answer",
    ),
    Rule(
        ("google_project_service_identity.monitoring", "google_pubsub_topic_iam_member.drift"),
        ("google_monitoring_notification_channel.training",),
        "an incident whose notification Monitoring's agent may not publish is lost",
    ),
    Rule(
        (
            "google_pubsub_topic_iam_member.page",
            "google_pubsub_topic_iam_member.page_subscription",
            "google_project_iam_member.page",
            "google_storage_bucket_iam_member.page",
        ),
        (_PAGE,),
        "the page's first image must be sent and answered",
    ),
    Rule(
        ("google_project_iam_member.page_metrics", "google_storage_bucket_iam_member.page_models"),
        (_PAGE,),
        "the page must be able to read what it shows first: the served model, and how many messages wait",
    ),
    Rule(
        ("google_project_service_identity.iap",),
        ("google_cloud_run_v2_service_iam_member.iap",),
        "a grant needs an existing member: this resource creates IAP's agent",
    ),
    Rule(
        ("google_cloud_run_v2_service_iam_member.iap", "google_iap_web_cloud_run_service_iam_member.page"),
        ("output.page_url",),
        "the address must work for the members as soon as it is printed",
    ),
    Rule(
        ("google_cloud_run_v2_job_iam_member.trainer",),
        ("google_cloud_scheduler_job.retrain",),
        "a schedule without the right to start its job fails at its first run",
    ),
)


def read(dot: str) -> Graph:
    """Parse the output of `terraform graph -type=plan`."""
    direct: dict[str, set[str]] = {}
    for one, other in _EDGE.findall(dot):
        direct.setdefault(one, set()).add(other)
        direct.setdefault(other, set())

    @cache
    def behind(node: str) -> frozenset[str]:
        return frozenset(direct[node]).union(*(behind(each) for each in direct[node]))

    return {node: behind(node) for node in direct}


def check(graph: Graph) -> Iterator[str]:
    """Yield violations of the rules, and grants that nothing waits for."""
    for rule in RULES:
        before, after = (
            {pattern: [node for node in sorted(graph) if fnmatchcase(node, pattern)] for pattern in patterns}
            for patterns in (rule.before, rule.after)
        )
        for pattern, nodes in (before | after).items():
            if not nodes:
                yield f"{pattern} is in a rule of the order but not declared: {rule.why}"
        for first in chain(*before.values()):
            for then in chain(*after.values()):
                if then != first and first not in graph[then]:
                    yield f"{then} does not wait for {first}: {rule.why}"
    waited = frozenset().union(*(behind for node, behind in graph.items() if node.startswith(("google_", "output."))))
    for grant in sorted(filter(_GRANT.match, graph.keys() - waited)):
        yield f"{grant}: nothing waits for this grant, no resource and no output"
