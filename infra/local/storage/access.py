"""Access control: access control lists, policies, HMAC keys and the service account; stored but not enforced."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from infra.local.storage.answer import Refusal
from infra.local.storage.preconditions import check
from infra.local.storage.request import Request
from infra.local.storage.resources import changed, now, renew
from infra.local.storage.store import Row, Store

_PREDEFINED = {
    "publicRead": {"allUsers": "READER"},
    "publicReadWrite": {"allUsers": "WRITER"},
    "authenticatedRead": {"allAuthenticatedUsers": "READER"},
}
_OWNER = [{"entity": "project-owners-0", "role": "OWNER"}]
_LEGACY = [{"role": "roles/storage.legacyBucketOwner", "members": ["projectOwner:local"]}]


def predefined(request: Request) -> dict[str, Any]:
    """The access control lists that a request selects by name."""
    asked = {
        "acl": request.query.get("predefinedAcl"),
        "defaultObjectAcl": request.query.get("predefinedDefaultObjectAcl"),
    }
    return {
        field: _OWNER + [{"entity": entity, "role": role} for entity, role in _PREDEFINED.get(name, {}).items()]
        for field, name in asked.items()
        if name
    }


def check_change(bucket: Row, asked: Mapping[str, Any]) -> None:
    """Refuse lists on a bucket with uniform access, and public lists where public access is prevented."""
    lists = [asked[field] for field in ("acl", "defaultObjectAcl") if asked.get(field)]
    settings = bucket.data.get("iamConfiguration", {})
    public = any(each.get("entity") in ("allUsers", "allAuthenticatedUsers") for entries in lists for each in entries)
    if public and settings.get("publicAccessPrevention") == "enforced":
        raise Refusal(412, "publicAccessPrevention is enforced on the bucket", "conditionNotMet")
    if lists:
        _check_uniform(bucket)


def _uniform(bucket: Row) -> bool:
    return bool(bucket.data.get("iamConfiguration", {}).get("uniformBucketLevelAccess", {}).get("enabled"))


def _check_uniform(bucket: Row) -> None:
    if _uniform(bucket):
        raise Refusal(400, "The bucket has uniform bucket-level access, which excludes access control lists", "invalid")


def entries(request: Request, store: Store, bucket: Row, row: Row) -> Any:
    """Read, add, change or delete entries of a bucket's or an object's access control list."""
    field, entity = request.params["list"], unquote(request.params.get("entity") or "")
    kind = "storage#bucketAccessControl" if row.kind == "bucket" and field == "acl" else "storage#objectAccessControl"
    _check_uniform(bucket)
    there = {each["entity"]: each for each in row.data.get(field, _OWNER)}
    if request.method == "GET" and not entity:
        return {"kind": f"{kind}s", "items": [{"kind": kind, **each} for each in there.values()]}
    if request.method != "POST" and entity not in there:
        raise Refusal(404, f"There is no entry for {entity!r} in the list", "notFound")
    if request.method == "GET":
        return {"kind": kind, **there[entity]}
    if request.method == "DELETE":
        del there[entity]
    else:
        asked = {**there.get(entity, {}), **request.json()}
        entity = str(asked.get("entity"))
        there[entity] = {"entity": entity, "role": asked.get("role")}
    asked_for = {field: list(there.values())}
    check_change(bucket, asked_for)
    renew(row, {**row.data, **asked_for})
    store.put(row)
    return {"kind": kind, **there[entity]} if request.method != "DELETE" else None


def policy(request: Request, store: Store, bucket: Row) -> Any:
    """Read or set the IAM policy of a bucket."""
    there = bucket.data.get("iam") or {"bindings": _LEGACY, "version": 1, "etag": bucket.etag}
    if request.method == "PUT":
        asked = request.json()
        if any("condition" in each for each in asked.get("bindings", ())):
            if not _uniform(bucket):
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
