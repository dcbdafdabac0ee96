"""Listings of a bucket's objects: pages, folders, globs, versions."""

from __future__ import annotations

import base64
import itertools
import re
from collections.abc import Iterator
from typing import Any

from infra.local.storage import buckets, contexts
from infra.local.storage.answer import Refusal
from infra.local.storage.request import Request
from infra.local.storage.resources import page, shown
from infra.local.storage.store import DELETED, LIVE, OLD, Row, Store

# Entries of a page.
_MOST = 1000

# The largest character, which sorts after every name.
_END = "\U0010ffff"
_GLOB = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]", "{": "(?:", "}": ")", ",": "|"}


def ls(request: Request, store: Store) -> Any:
    """List a page of a bucket's objects and, with a delimiter, its folders."""
    bucket, query = buckets.find(store, request.bucket), request.query
    states = [DELETED] if request.flag("softDeleted") else [LIVE, OLD] if request.flag("versions") else [LIVE]
    prefix, end = query.get("prefix", ""), query.get("endOffset") or _END
    name, generation = _after(query.get("pageToken", ""))
    where = "AND name >= ? AND name < ? AND (name, generation) > (?, ?)"
    rows = store.rows(
        "object", bucket.name, where, max(prefix, query.get("startOffset", "")), end, name, generation, states=states
    )
    matching: Iterator[Row] = itertools.takewhile(lambda row: row.name.startswith(prefix), rows)
    if asked := query.get("filter"):
        matching = filter(contexts.matching(asked), matching)
    entries = _folded(matching, prefix, query.get("delimiter", ""), request.flag("includeTrailingDelimiter"))
    if glob := query.get("matchGlob"):
        pattern = re.compile(_regex(glob), re.S)
        entries = (entry for entry in entries if pattern.fullmatch(entry[0]))
    found, last = page(entries, min(request.number("maxResults") or _MOST, _MOST))
    full = query.get("projection") == "full"
    token = {}
    if last is not None:
        row = found[-1][1]
        after = f"{row.generation if row else 0}/{last if row else last + _END}"
        token = {"nextPageToken": base64.urlsafe_b64encode(after.encode()).decode()}
    return {
        "kind": "storage#objects",
        "items": [shown(row, request.base_url, bucket, full=full) for _, row in found if row],
        "prefixes": [folder for folder, row in found if not row],
        **token,
    }


def _folded(rows: Iterator[Row], prefix: str, delimiter: str, trailing: bool) -> Iterator[tuple[str, Row | None]]:
    """Yield objects by name, grouped into folders at the delimiter. `trailing`: also the object of a folder's name."""
    last = ""
    for row in rows:
        head, mark, tail = row.name[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
        if not mark or (trailing and not tail):
            yield row.name, row
        if mark and (folder := prefix + head + mark) != last:
            last = folder
            yield folder, None


def _after(token: str) -> tuple[str, int]:
    try:
        generation, _, name = base64.urlsafe_b64decode(token).decode().partition("/")
        return name, int(generation or 0)
    except ValueError as exc:
        raise Refusal(400, f"pageToken must be from an earlier listing, not {token!r}", "invalid") from exc


def _regex(glob: str) -> str:
    """The regular expression for a matchGlob of Cloud Storage ("Objects: list")."""
    parts = re.findall(r"\*\*/|\*\*|\[!?[^\]]+\]|.", glob, re.S)
    depth, regex = 0, ""
    for part in parts:
        depth += (part == "{") - (part == "}")
        if len(part) > 2 and part[0] == "[":
            regex += part.replace("[!", "[^")
        else:
            regex += _GLOB[part] if part in _GLOB and (part != "," or depth) else re.escape(part)
    return regex
