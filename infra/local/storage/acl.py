"""Access control lists: the lists that resources have by default, and how their entries are represented."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from infra.local.storage.store import Row

Entries = list[dict[str, str]]

LISTS = ("acl", "defaultObjectAcl")
_EVERY_PROJECT = "0"


def project_number(project: str) -> str:
    """The number of a project, always the same for an id; "0" for the buckets of every project."""
    if project.isdecimal():
        return project
    return str(10**11 + zlib.crc32(project.encode())) if project else _EVERY_PROJECT


def belongs(bucket: Row, project: str) -> bool:
    """Whether a bucket is listed in a project; without a project, in every one."""
    return not project or bucket.data.get("projectNumber", _EVERY_PROJECT) in (_EVERY_PROJECT, project_number(project))


def owner(bucket: Row) -> str:
    """The entity that owns a bucket and its objects."""
    return f"project-owners-{bucket.data.get('projectNumber', _EVERY_PROJECT)}"


def is_uniform(bucket: Row) -> bool:
    """Whether a bucket has uniform bucket-level access, which excludes lists."""
    return bool(bucket.data.get("iamConfiguration", {}).get("uniformBucketLevelAccess", {}).get("enabled"))


def entries(row: Row, field: str, bucket: Row) -> Entries:
    """The entries of a list, by default those of the predefined list projectPrivate."""
    if field in row.data:
        return list(row.data[field])
    number = owner(bucket).rpartition("-")[2]
    roles = {"owners": "OWNER", "editors": "OWNER", "viewers": "READER"}
    return [{"entity": f"project-{team}-{number}", "role": role} for team, role in roles.items()]


def represented(row: Row, field: str, each: Mapping[str, str], base_url: str) -> dict[str, Any]:
    """An entry of a list for a response."""
    entity = each["entity"]
    kind, _, name = entity.partition("-")
    found: dict[str, Any] = {"kind": "storage#objectAccessControl", **each, "etag": row.etag}
    if field == "acl" and row.kind == "bucket":
        path = f"/storage/v1/b/{quote(row.name, safe='')}/acl/{quote(entity, safe='')}"
        found |= {"kind": "storage#bucketAccessControl", "id": f"{row.name}/{entity}", "bucket": row.name}
        found["selfLink"] = base_url + path
    elif field == "acl":
        path = f"/storage/v1/b/{quote(row.parent, safe='')}/o/{quote(row.name, safe='')}/acl/{quote(entity, safe='')}"
        found |= {"id": f"{row.parent}/{row.name}/{row.generation}/{entity}", "selfLink": base_url + path}
        found |= {"bucket": row.parent, "object": row.name, "generation": str(row.generation)}
    if kind == "project":
        team, _, number = name.partition("-")
        found["projectTeam"] = {"projectNumber": number, "team": team}
    elif kind in ("user", "group"):
        found["email"] = name
    elif kind == "domain":
        found["domain"] = name
    return found
