"""Lists every grant of every rehearsed deployment in infra/PERMISSIONS.md, each with its reason.

`python -m infra.check.permissions` writes the page; the layer compares it with the *.tf files.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.check import scenarios
from infra.check.toolchain import INFRA, Unavailable

PAGE = INFRA / "PERMISSIONS.md"
REASONS = Path(__file__).with_name("grants.toml")

_HEAD = """\
# Permissions

This page lists every grant that Terraform makes, for each `compute` and each option.
`python -m infra.check.permissions` generates it from the plans of `make infra-check`, which also checks it. The reasons
come from [grants.toml](check/grants.toml). Grants on resources that `existing` brings are the same.

| who | role | on | when | why |
|---|---|---|---|---|
"""
# By the type of a grant: the kind of its resource, and the argument that names the resource.
_ON = {
    "google_artifact_registry_repository_iam_member": ("repository", "repository"),
    "google_bigquery_table_iam_member": ("table", "table_id"),
    "google_cloud_run_v2_job_iam_member": ("job", "name"),
    "google_cloud_run_v2_service_iam_member": ("service", "name"),
    "google_cloud_run_v2_worker_pool_iam_member": ("worker pool", "name"),
    "google_iap_web_cloud_run_service_iam_member": ("service", "cloud_run_service_name"),
    "google_kms_crypto_key_iam_member": ("key", "crypto_key_id"),
    "google_project_iam_member": ("project", "project"),
    "google_pubsub_subscription_iam_member": ("subscription", "subscription"),
    "google_pubsub_topic_iam_member": ("topic", "topic"),
    "google_secret_manager_secret_iam_member": ("secret", "secret_id"),
    "google_service_account_iam_member": ("account", "service_account_id"),
    "google_storage_bucket_iam_member": ("bucket", "bucket"),
}

# Defines a role and grants nothing.
_CUSTOM = "google_project_iam_custom_role"

# Fields of a dataset's access block that name a member.
_ACCESS = ("special_group", "iam_member", "user_by_email", "group_by_email", "domain")

_BASIC = {"roles/owner", "roles/editor", "roles/viewer"}
_PUBLIC = {"allUsers", "allAuthenticatedUsers"}

Resource = Mapping[str, Any]


@dataclass(frozen=True, order=True, slots=True)
class Grant:
    """A grant. `role`: a custom one as its permissions. `source`: the resource of the *.tf files, without an index."""

    who: str
    role: str
    on: str
    source: str


def grants(resources: Sequence[Resource]) -> Iterator[Grant]:
    """Yield every grant among the resources of a deployment."""
    custom = {each["values"]["name"]: each["values"]["permissions"] for each in resources if each["type"] == _CUSTOM}
    for each in resources:
        source, values = f"{each['type']}.{each['name']}", each["values"]
        if each["type"] in _ON:
            word, argument = _ON[each["type"]]
            under = "".join(f", {_condition(given['expression'])}" for given in values.get("condition", ()))
            role = ", ".join(sorted(custom.get(values["role"], [values["role"]])))
            yield Grant(_who(values["member"]), role, f"{word} {_short(values[argument])}{under}", source)
        elif "_iam_" in each["type"] and each["type"] != _CUSTOM:
            yield Grant("?", "?", f"a grant of the type {each['type']}, which permissions.py does not know", source)
        for access in values.get("access", ()) if each["type"] == "google_bigquery_dataset" else ():
            who = next((access[name] for name in _ACCESS if access.get(name)), "?")
            yield Grant(who, access["role"], f"dataset {values['dataset_id']}", source)


def check(found: Mapping[str, Sequence[Resource]], page: str, reasons: Mapping[str, str]) -> Iterator[str]:
    """Yield findings: public or basic roles, grants without a reason, reasons without a grant, and an outdated page."""
    given = {grant for resources in found.values() for grant in grants(resources)}
    for grant in sorted(given):
        if grant.role in _BASIC or grant.who in _PUBLIC | {"?"}:
            yield f"{grant.source}: {grant.who} has {grant.role} on {grant.on}"
        if grant.source not in reasons:
            yield f"{grant.source}: has no reason in {REASONS.name}"
    for source in sorted(reasons.keys() - {grant.source for grant in given}):
        yield f"{source}: has a reason in {REASONS.name} but does not exist"
    written = table(found, reasons)
    if page != written:
        gone, come = (
            set(one.splitlines()) - set(other.splitlines()) for one, other in ((page, written), (written, page))
        )
        yield f"{PAGE.name} is outdated: write it again with `python -m infra.check.permissions`"
        yield from (f"- {line}" for line in sorted(gone))
        yield from (f"+ {line}" for line in sorted(come))


def table(found: Mapping[str, Sequence[Resource]], reasons: Mapping[str, str]) -> str:
    """The page, with one row per grant."""
    when: dict[Grant, list[str]] = {}
    for scenario, resources in found.items():
        for grant in dict.fromkeys(grants(resources)):
            when.setdefault(grant, []).append(scenario)
    rows = [
        f"| {grant.who} | `{grant.role}` | {grant.on} | {_when(there)} | {reasons.get(grant.source, '')} |"
        for grant, there in sorted(when.items())
    ]
    return _HEAD + "\n".join(rows) + "\n"


def _when(there: list[str]) -> str:
    """The deployments with a grant, as text: always, for some values of `compute`, or with an option."""
    modes = [scenario for scenario in there if scenario in scenarios.COMPUTE]
    if not modes:
        return f"with {there[0]}"
    return "always" if len(modes) == len(scenarios.COMPUTE) else f"`compute` is {' or '.join(modes)}"


def _who(member: str) -> str:
    for pattern, name in (
        (r"serviceAccount:prediction-(\w+)@.*", r"\1"),
        (r"serviceAccount:agent@([\w.]+)", r"agent of \1"),
        (r"group:(\w+)@example\.com", r"each of `\1`"),
    ):
        if re.fullmatch(pattern, member):
            return re.sub(pattern, name, member)
    return member


def _condition(expression: str) -> str:
    """An expression in a cell of the table."""
    return expression.replace(scenarios.EXAMPLE["project_id"], "PROJECT").replace("|", "\\|")


def _short(name: str) -> str:
    """The last part of a full name, with PROJECT instead of the example's project."""
    return name.rpartition("/")[2].replace(scenarios.EXAMPLE["project_id"], "PROJECT")


def reasons() -> dict[str, str]:
    """The reason of each grant, by its resource."""
    return tomllib.loads(REASONS.read_text())


def main() -> int:
    """Rehearse the deployments and write the page."""
    try:
        folder = scenarios.rehearse_files()
    except Unavailable as exc:
        print(exc, file=sys.stderr)
        return 1
    PAGE.write_text(table(scenarios.resources(folder), reasons()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
