"""Uploads by an HTML form with a signed policy document (Google Cloud, "Policy document")."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from email.message import Message
from email.parser import HeaderParser
from typing import Any
from urllib.parse import quote, urlencode

from infra.local.storage import buckets, metadata, multipart, uploads
from infra.local.storage.answer import Answer, Refusal
from infra.local.storage.request import Request
from infra.local.storage.store import Store
from infra.local.storage.xml import document

# Fields that a policy need not name.
_FREE = frozenset({"policy", "x-goog-signature", "file"})
_STATUSES = ("200", "201", "204")


def upload(request: Request, store: Store) -> Answer:
    """Create an object from a form; answers as `success_action_redirect` or `success_action_status` says."""
    fields, content = _parts(request)
    policy = _policy(fields["policy"]) if "policy" in fields else {}
    if not request.bucket:  # Google's Node client names it in the policy alone when it uses an emulator
        named = (
            each["bucket"] for each in policy.get("conditions", ()) if isinstance(each, Mapping) and "bucket" in each
        )
        request.params["bucket"] = quote(str(next(named, "")), safe="")
    with store.change():
        buckets.find(store, request.bucket)
    if not (key := fields.get("key", "")):
        raise Refusal(400, "The form must have a field key, the name of the object, before the field file", "required")
    if policy:
        _check_policy(request, policy, fields, len(content))
    headers = Message()
    for name, value in fields.items():
        headers[name] = value
    form = Request("POST", request.raw_path, headers)
    if "acl" in fields:
        form.query["predefinedAcl"] = _camel(fields["acl"])
    form.params = request.params
    name = key.replace("${filename}", fields.get("file", ""))
    row = uploads.keep(form, store, multipart.metadata_of(headers), store.save(content), name)
    where = f"{request.base_url}/{quote(row.parent)}/{quote(row.name)}"
    headers_of_made = {"Location": where, "ETag": f'"{row.etag}"'}
    if target := fields.get("success_action_redirect"):
        query = urlencode({"bucket": row.parent, "key": row.name, "etag": f'"{row.etag}"'})
        return Answer(status=303, headers={"Location": f"{target}{'&' if '?' in target else '?'}{query}"})
    status = fields.get("success_action_status", "204")
    if status == "201":
        answer = document("PostResponse", Location=where, Bucket=row.parent, Key=row.name, ETag=f'"{row.etag}"')
        answer.status, answer.headers = 201, answer.headers | headers_of_made
        return answer
    return Answer(status=int(status) if status in _STATUSES else 204, headers=headers_of_made)


def _parts(request: Request) -> tuple[dict[str, str], memoryview]:
    """The form's fields by their names in lower case, with the file's name as `file`, and the file's bytes."""
    header = Message()
    header["Content-Type"] = request.headers.get("Content-Type", "")
    mark = b"--" + (header.get_boundary() or "").encode()
    body, fields = request.body, dict[str, str]()
    at = body.find(mark)
    while at >= 0 and body[at + len(mark) : at + len(mark) + 2] == b"\r\n":
        first, begin = at + len(mark) + 2, body.find(b"\r\n\r\n", at)
        at = body.find(b"\r\n" + mark, begin) + 2
        if begin < 0 or at < 2:
            break
        head = HeaderParser().parsestr(bytes(body[first:begin]).decode(errors="replace"))
        name = str(head.get_param("name", "", "Content-Disposition")).lower()
        if name == "file":
            fields["file"] = head.get_filename() or ""
            if head["Content-Type"]:
                fields.setdefault("content-type", head["Content-Type"])
            return fields, memoryview(body)[begin + 4 : at - 2]
        fields[name] = bytes(body[begin + 4 : at - 2]).decode(errors="replace")
    raise Refusal(400, "The body must be a multipart/form-data form whose last field is file", "invalid")


def _policy(encoded: str) -> dict[str, Any]:
    """A policy document, with its conditions and its expiration."""
    try:
        policy = json.loads(base64.b64decode(encoded))
        return {"conditions": list(policy["conditions"]), "expiration": policy["expiration"]}
    except (ValueError, KeyError, TypeError) as exc:
        raise Refusal(400, "policy must be JSON with expiration and conditions, in base64", "invalid") from exc


def _check_policy(request: Request, policy: Mapping[str, Any], fields: dict[str, str], size: int) -> None:
    ends = metadata.check_time("expiration of the policy", policy["expiration"])
    if request.signing_keys:
        request.signing_keys.check_policy(fields["policy"], fields, ends)
    given, named = {**fields, "bucket": request.bucket}, set[str]()
    for condition in policy["conditions"]:
        named |= _check_condition(condition, given, size)
    for name in given.keys() - named - _FREE - {"bucket", "content-type"}:
        if not name.startswith("x-ignore-"):
            raise _forbidden(f"the form's field {name} is not in the policy")


def _check_condition(condition: Any, given: Mapping[str, str], size: int) -> set[str]:
    """Refuse a form that breaks a condition; returns the fields that the condition names."""
    if isinstance(condition, Mapping):
        for name, value in condition.items():
            _check_equal(name.lower(), given, str(value))
        return {name.lower() for name in condition}
    if not isinstance(condition, list) or len(condition) != 3:
        raise Refusal(400, f"A condition of a policy cannot be {condition!r}", "invalid")
    kind, first, second = condition
    if kind == "content-length-range":
        if not int(first) <= size <= int(second):
            code = "EntityTooSmall" if size < int(first) else "EntityTooLarge"
            raise Refusal(400, f"The file has {size} bytes, and must have {first} to {second}", "invalid", code)
        return set()
    name = str(first).removeprefix("$").lower()
    if kind == "eq":
        _check_equal(name, given, str(second))
    elif kind != "starts-with" or not given.get(name, "").startswith(str(second)):
        raise _forbidden(f"the form's field {name} must start with {second!r}, and is {given.get(name)!r}")
    return {name}


def _check_equal(name: str, given: Mapping[str, str], value: str) -> None:
    if given.get(name) != value:
        raise _forbidden(f"the form's field {name} must be {value!r}, and is {given.get(name)!r}")


def _forbidden(why: str) -> Refusal:
    return Refusal(403, f"The policy document refuses the form: {why}", "forbidden", "AccessDenied")


def _camel(name: str) -> str:
    first, *others = name.split("-")
    return first + "".join(each.capitalize() for each in others)
