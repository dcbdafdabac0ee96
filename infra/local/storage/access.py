"""Access control: access control lists, policies, HMAC keys and the service account; stored but not enforced."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from infra.local.storage import acl
from infra.local.storage.answer import Refusal
from infra.local.storage.preconditions import check
from infra.local.storage.request import Request
from infra.local.storage.resources import changed, now, renew
from infra.local.storage.store import Row, Store

# The entries next to the owner's.
_PREDEFINED = {
    "private": {},
    "bucketOwnerRead": {},
    "bucketOwnerFullControl": {},
    "projectPrivate": {"project-editors": "OWNER", "project-viewers": "READER"},
    "publicRead": {"allUsers": "READER"},
    "publicReadWrite": {"allUsers": "WRITER"},
    "authenticatedRead": {"allAuthenticatedUsers": "READER"},
}
_ROLES = ("READER", "WRITER", "OWNER")
_PUBLIC = frozenset({"allUsers", "allAuthenticatedUsers"})


def predefined(request: Request, bucket: Row) -> dict[str, Any]:
    """The access control lists that a request selects by name."""
    found = {}
    number = acl.owner(bucket).rpartition("-")[2]
    for field, parameter in (("acl", "predefinedAcl"), ("defaultObjectAcl", "predefinedDefaultObjectAcl")):
        if not (name := request.query.get(parameter)):
            continue
        if name not in _PREDEFINED:
            raise Refusal(400, f"{parameter} must be one of {', '.join(_PREDEFINED)}, not {name!r}", "invalid")
        entries = [{"entity": acl.owner(bucket), "role": "OWNER"}]
        for entity, role in _PREDEFINED[name].items():
            entries.append({"entity": f"{entity}-{number}" if "project" in entity else entity, "role": role})
        found[field] = entries
    return found


def checked(bucket: Row, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with their lists as they are stored.

    Refuses lists on a bucket with uniform access, public ones where public access is prevented, and malformed ones.
    """
    lists = {field: asked[field] for field in acl.LISTS if asked.get(field)}
    if not lists:
        return dict(asked)
    for field, entries in lists.items():
        if not isinstance(entries, list) or not all(isinstance(e, Mapping) and e.get("entity") for e in entries):
            raise Refusal(400, f"{field} must be a list of objects with entity and role", "invalid")
        lists[field] = [{"entity": str(each["entity"]), "role": str(each.get("role"))} for each in entries]
    _check_public(bucket, (each["entity"] for entries in lists.values() for each in entries))
    _check_uniform(bucket)
    return {**asked, **lists}


def _check_public(bucket: Row, members: Iterable[str]) -> None:
    prevented = bucket.data.get("iamConfiguration", {}).get("publicAccessPrevention") == "enforced"
    if prevented and not _PUBLIC.isdisjoint(members):
        reason = "publicAccessPrevention is enforced on the bucket, so allUsers and allAuthenticatedUsers are refused"
        raise Refusal(412, reason, "conditionNotMet")


def _check_uniform(bucket: Row) -> None:
    if acl.is_uniform(bucket):
        raise Refusal(400, "The bucket has uniform bucket-level access, which excludes access control lists", "invalid")


def entries(request: Request, store: Store, bucket: Row, row: Row) -> Any:
    """Read, add, change or delete entries of a bucket's or an object's access control list."""
    field, entity = request.params["list"], unquote(request.params.get("entity") or "")
    _check_uniform(bucket)
    there = {each["entity"]: each for each in acl.entries(row, field, bucket)}
    if request.method == "GET" and not entity:
        items = [acl.represented(row, field, each, request.base_url) for each in there.values()]
        plural = "bucketAccessControls" if row.kind == "bucket" and field == "acl" else "objectAccessControls"
        return {"kind": f"storage#{plural}", "items": items}
    if request.method not in ("POST", "PUT") and entity not in there:
        raise Refusal(404, f"There is no entry for {entity!r} in the list", "notFound")
    if request.method == "GET":
        return acl.represented(row, field, there[entity], request.base_url)
    if request.method == "DELETE":
        del there[entity]
    else:
        asked = {**there.get(entity, {}), **request.json()}
        entity = entity or str(asked.get("entity") or "")
        if asked.get("role") not in _ROLES:
            raise Refusal(400, f"role must be one of {', '.join(_ROLES)}, not {asked.get('role')!r}", "invalid")
        there[entity] = {"entity": entity, "role": asked["role"]}
    renew(row, {**row.data, **checked(bucket, {field: list(there.values())}), field: list(there.values())})
    store.put(row)
    return acl.represented(row, field, there[entity], request.base_url) if request.method != "DELETE" else None


def policy(request: Request, store: Store, bucket: Row) -> Any:
    """Read or set the IAM policy of a bucket."""
    there = bucket.data.get("iam") or {"bindings": _legacy(bucket), "version": 1, "etag": bucket.etag}
    if request.method == "PUT":
        asked = request.json()
        bindings = asked.get("bindings") or ()
        if not isinstance(bindings, Sequence) or not all(isinstance(each, Mapping) for each in bindings):
            raise Refusal(400, "bindings must be a list of objects with role and members", "invalid")
        _check_public(bucket, (str(member) for each in bindings for member in each.get("members") or ()))
        if any("condition" in each for each in bindings):
            if not acl.is_uniform(bucket):
                raise Refusal(
                    412, "To set a policy with conditions, enable uniform bucket-level access first", "conditionNotMet"
                )
            if asked.get("version", 1) < 3:
                raise Refusal(400, "A policy with conditions must have a version of at least 3", "invalid")
        if asked.get("etag", there["etag"]) != there["etag"]:
            raise Refusal(412, "The policy was changed since it was read; read it again", "conditionNotMet")
        renew(bucket, {**bucket.data, "iam": None})
        there = {"version": 1, **asked, "etag": bucket.etag}
        bucket.data["iam"] = there
        store.put(bucket)
    return {"kind": "storage#policy", "resourceId": f"projects/_/buckets/{bucket.name}", **there}


def _legacy(bucket: Row) -> list[dict[str, Any]]:
    """The bindings of a new bucket."""
    project = bucket.data.get("project", "local")
    owners = [f"projectEditor:{project}", f"projectOwner:{project}"]
    return [
        {"role": "roles/storage.legacyBucketOwner", "members": owners},
        {"role": "roles/storage.legacyBucketReader", "members": [f"projectViewer:{project}"]},
    ]


def permissions(request: Request, store: Store) -> Any:
    """Report that every permission is granted."""
    asked = [value for name, value in request.pairs if name == "permissions"]
    return {"kind": "storage#testIamPermissionsResponse", "permissions": asked}


def service_account(request: Request, store: Store) -> Any:
    """The email address of a project's Storage service account."""
    email = f"service-{request.params['project']}@gs-project-accounts.iam.gserviceaccount.com"
    return {"kind": "storage#serviceAccount", "email_address": email}


def make_key(request: Request, store: Store) -> Any:
    """Create an HMAC key. The response is the only one with its secret."""
    project, email = request.params["project"], request.query.get("serviceAccountEmail", "")
    if not email:
        raise Refusal(400, "serviceAccountEmail must name the owner of the key", "required")
    fields = {
        "serviceAccountEmail": email,
        "state": "ACTIVE",
        "timeCreated": now(),
        "updated": now(),
        "metageneration": "1",
    }
    row = store.put(Row("hmacKey", project, f"GOOG1E{secrets.token_hex(27).upper()}", fields))
    return {"kind": "storage#hmacKey", "secret": secrets.token_urlsafe(30), "metadata": _key(row)}


def list_keys(request: Request, store: Store) -> Any:
    """List the HMAC keys of a project."""
    email, deleted = request.query.get("serviceAccountEmail"), request.flag("showDeletedKeys")
    rows = store.rows("hmacKey", request.params["project"])
    items = [_key(row) for row in rows if email in (None, row.data["serviceAccountEmail"])]
    shown = [each for each in items if deleted or each["state"] != "DELETED"]
    return {"kind": "storage#hmacKeysMetadata", "items": shown}


def one_key(request: Request, store: Store) -> Any:
    """Read, update or delete an HMAC key."""
    row = store.get("hmacKey", request.params["project"], request.params["key"])
    if not row:
        raise Refusal(404, f"There is no HMAC key {request.params['key']}", "notFound")
    if request.method == "GET":
        return _key(row)
    state = "DELETED" if request.method == "DELETE" else request.json().get("state")
    if request.method == "DELETE" and row.data["state"] != "INACTIVE":
        raise Refusal(400, "Only an INACTIVE HMAC key can be deleted", "invalid")
    if state not in ("ACTIVE", "INACTIVE", "DELETED"):
        raise Refusal(400, f"state must be ACTIVE or INACTIVE, not {state!r}", "invalid")
    check(request.conditions, row)
    renew(row, changed(row.data, {"state": state}))
    store.put(row)
    return _key(row) if request.method != "DELETE" else None


def _key(row: Row) -> dict[str, Any]:
    where = {"id": f"{row.parent}/{row.name}", "accessId": row.name, "projectId": row.parent, "etag": row.etag}
    return {"kind": "storage#hmacKeyMetadata", **where, **row.data}
