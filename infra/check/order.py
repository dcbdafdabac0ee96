"""The order in which a fresh project is built, read from Terraform's graph: what must be there before what, and why.

A graph has every resource and output of the files, whatever the variables are; so one is the proof for all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from itertools import chain

Graph = Mapping[str, frozenset[str]]
"""What each node waits for, directly or not."""

_EDGE = re.compile(r'^\s*"\[root\] ([^"]+?)(?: \(expand\))?" -> "\[root\] ([^"]+?)(?: \(expand\))?"$', re.M)
_GRANT = re.compile(r"^google_\w+_iam_member\.")
_RUNS = (
    "google_cloud_run_v2_service.this",
    "google_cloud_run_v2_worker_pool.worker",
    "google_cloudfunctions2_function.worker",
)
_JOB = "google_cloud_run_v2_job.nightly"
_REQUESTS, _ROWS = "google_pubsub_subscription.this", "google_pubsub_subscription.bigquery"


@dataclass(frozen=True, slots=True)
class Rule:
    """Each of `after` waits for each of `before`; names are patterns."""

    before: tuple[str, ...]
    after: tuple[str, ...]
    why: str


RULES = (
    Rule(
        ("google_project_service.this",),
        ("google_*", "data.google_*"),
        "an interface is switched on before it is asked for anything",
    ),
    Rule(
        ("google_project_service_identity.pubsub",),
        ("*_iam_member.dead_letter", "*_iam_member.dead_bigquery", "*_iam_member.pubsub_agent"),
        "nobody can be granted anything who does not exist: asking for Pub/Sub's agent makes it",
    ),
    Rule(
        ("data.google_storage_project_service_account.this",),
        ("google_pubsub_topic_iam_member.notification",),
        "nobody can be granted anything who does not exist: asking for Storage's agent makes it",
    ),
    Rule(
        ("google_pubsub_topic_iam_member.notification",),
        ("google_storage_notification.this",),
        "Cloud Storage refuses a notification to a topic that its agent may not publish to",
    ),
    Rule(
        ("google_cloud_run_v2_service_iam_member.invoker", "google_service_account_iam_member.pubsub_agent"),
        (_REQUESTS,),
        "a push that is not let in yet counts as a delivery attempt",
    ),
    Rule(
        ("google_pubsub_topic_iam_member.dead_letter",),
        (_REQUESTS,),
        "from its first attempt a request may become a dead letter, which Pub/Sub's agent publishes",
    ),
    Rule(
        ("google_bigquery_table_iam_member.pubsub_agent",),
        (_ROWS,),
        "Pub/Sub refuses a subscription to a table that its agent may not write",
    ),
    Rule(
        ("google_pubsub_topic_iam_member.dead_bigquery",),
        (_ROWS,),
        "from its first attempt a response may become a dead letter, which Pub/Sub's agent publishes",
    ),
    Rule(
        ("google_kms_crypto_key_iam_member.agent",),
        (
            *_RUNS,
            _JOB,
            "google_pubsub_topic.*",
            "google_storage_bucket.*",
            "google_bigquery_dataset.this",
            "google_artifact_registry_repository.images",
        ),
        "nothing is encrypted with a key that its agent may not use",
    ),
    Rule(
        ("google_artifact_registry_repository.images",),
        (*_RUNS, _JOB),
        "images have their place before what runs them, and go after it",
    ),
    Rule(
        (
            "google_pubsub_topic_iam_member.answers",
            "google_storage_bucket_iam_member.worker",
            "google_storage_bucket_iam_member.response_store",
        ),
        _RUNS,
        "an instance that starts must be able to read its artifact, and to store and publish its first answer",
    ),
    Rule(
        ("google_storage_bucket_iam_member.endpoint",),
        ("google_cloud_run_v2_service.this",),
        "an instance that starts must be able to read its artifact",
    ),
    Rule(
        ("google_pubsub_subscription_iam_member.worker",),
        ("google_cloud_run_v2_worker_pool.worker",),
        "a pool that may not pull yet would end and be started again and again",
    ),
    Rule(
        ("google_project_iam_member.builder", "google_artifact_registry_repository_iam_member.builder"),
        ("google_cloudfunctions2_function.worker",),
        "a function is built while it is made, by an account that must be able to",
    ),
    Rule(
        ("google_storage_bucket_iam_member.nightly", "google_pubsub_topic_iam_member.nightly"),
        (_JOB,),
        "the job must be able to list and to publish when it is first started",
    ),
    Rule(
        ("google_cloud_run_v2_job_iam_member.nightly",),
        ("google_cloud_scheduler_job.nightly",),
        "a schedule that may not start its job fails at its first hour",
    ),
)


def read(dot: str) -> Graph:
    """The graph of `terraform graph -type=plan`."""
    direct: dict[str, set[str]] = {}
    for one, other in _EDGE.findall(dot):
        direct.setdefault(one, set()).add(other)
        direct.setdefault(other, set())

    @cache
    def behind(node: str) -> frozenset[str]:
        return frozenset(direct[node]).union(*(behind(each) for each in direct[node]))

    return {node: behind(node) for node in direct}


def check(graph: Graph) -> Iterator[str]:
    """What would be built too early, and which grants nothing waits for."""
    for rule in RULES:
        before, after = (
            {pattern: [node for node in sorted(graph) if fnmatchcase(node, pattern)] for pattern in patterns}
            for patterns in (rule.before, rule.after)
        )
        for pattern, nodes in (before | after).items():
            if not nodes:
                yield f"{pattern} has a place in the order and is nowhere declared: {rule.why}"
        for first in chain(*before.values()):
            for then in chain(*after.values()):
                if then != first and first not in graph[then]:
                    yield f"{then} does not wait for {first}: {rule.why}"
    waited = frozenset().union(*(behind for node, behind in graph.items() if node.startswith(("google_", "output."))))
    for grant in sorted(filter(_GRANT.match, graph.keys() - waited)):
        yield f"{grant}: nothing waits for this grant, no resource and no output"
