"""Finds rows in BigQuery, in the table to which a subscription writes every response: one query over REST.

The key is a parameter of the query, and never part of its text.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from client.gcp import CALL_TIMEOUT_S, RETRY_S, UsageError
from client.results.record import Record
from client.text import plain, printable
from functions.messages.contract import decode_response

PREFIX = "bigquery:"
"""Begins the name of a table on the command line."""

MAX_ROWS = 1000
"""Rows that a search returns: a request has a few, and an image name may have many."""

_ENDPOINT = "https://bigquery.googleapis.com"
_SCOPE = "https://www.googleapis.com/auth/bigquery"
_NAME = re.compile(r"((?:[a-z0-9.-]+:)?[a-z][a-z0-9-]*)\.([A-Za-z0-9_]+)\.([A-Za-z0-9_-]+)")
_TOTAL_TIMEOUT_S = 120.0
"""Seconds until a search is given up: a table of 10 GB takes seconds."""

_TEMPORARY = frozenset({"backendError", "badGateway", "internalError"})
"""Reasons of errors after which BigQuery's documentation says to try again."""

_FILE = "COALESCE(NULLIF(source.filename, ''), source.image_uri)"
_QUERY = f"""
SELECT TO_JSON_STRING(found) AS response
FROM (
  SELECT request_id, status, predictions, model, source, error, timing_ms, delivery_attempt, completed_at, multi_label,
    labels, attributes, publish_time
  FROM `{{table}}`
  WHERE request_id = @key OR {_FILE} = @key OR REGEXP_EXTRACT({_FILE}, '[^/]*$') = @key
) AS found
ORDER BY found.publish_time
LIMIT {MAX_ROWS + 1}
"""  # nosec B608  # the table's name has no character that ends the quotes
"""Leaves out explanations, whose images would be most of the bytes."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table or view in BigQuery."""

    project: str
    dataset: str
    name: str

    def __str__(self) -> str:
        return f"{self.project}.{self.dataset}.{self.name}"

    @classmethod
    def parse(cls, text: str) -> Table:
        """Read `bigquery:PROJECT.DATASET.TABLE`. Raises UsageError."""
        found = _NAME.fullmatch(text.removeprefix(PREFIX))
        if not found:
            raise UsageError(
                f"{printable(text[:100])} names no table; it must look like {PREFIX}PROJECT.DATASET.TABLE, such as "
                f"{PREFIX}my-project.predictions.responses"
            )
        return cls(*found.groups())


def query(table: Table) -> str:
    """Return the query for the rows whose request id, file or file name is the parameter `key`."""
    return _QUERY.format(table=table)


def find_rows(table: Table, key: str, project: str, max_bytes: int) -> Iterator[Record]:
    """Yield the rows with this request id, file or file name, at most MAX_ROWS + 1, in the order of publishing.

    `project` runs the query and pays for it; without one, the table's does. BigQuery refuses a query that it would bill
    for more than `max_bytes`. Raises UsageError.
    """
    from google.api_core.exceptions import GoogleAPICallError, RetryError
    from google.auth.exceptions import GoogleAuthError
    from requests import RequestException

    runner = project or table.project
    try:
        with closing(_Queries(runner)) as queries:
            for number, text in enumerate(queries.rows(query(table), key, max_bytes), 1):
                try:
                    yield _record(text)
                except ValueError as exc:
                    raise UsageError(f"{table} row {number}: {printable(str(exc))[:200]}") from None
    except (GoogleAPICallError, GoogleAuthError, RequestException, RetryError) as exc:
        why = {
            "bytesBilledLimitExceeded": f"it would read more than {max_bytes:,} bytes; allow more with --max-bytes",
            "invalidQuery": "it lacks columns of a table of responses; see infra/README.md",
            "accessDenied": f"your account may not read it, or may not run queries in {printable(runner)}",
        }
        known = [why[reason] for reason in _reasons(exc) if reason in why]
        raise UsageError(f"{table} cannot be searched: {known[0] if known else plain(exc, str(table))}") from None


class _Queries:
    """Runs queries in a project."""

    def __init__(self, project: str) -> None:
        import google.auth
        from google.api_core.retry import Retry
        from google.auth.transport.requests import AuthorizedSession

        credentials, _ = google.auth.default(scopes=[_SCOPE])
        self._session = AuthorizedSession(credentials)
        self._url = f"{_ENDPOINT}/bigquery/v2/projects/{project}/queries"
        self._retry = Retry(predicate=_is_temporary, initial=0.1, maximum=5.0, timeout=RETRY_S)

    def rows(self, text: str, key: str, max_bytes: int) -> Iterator[str]:
        """Yield the only column of each row. Raises GoogleAPICallError, RequestException, GoogleAuthError."""
        from google.api_core.exceptions import GatewayTimeout

        reply = self._call("POST", self._url, json=_request(text, key, max_bytes))
        ends_at = time.monotonic() + _TOTAL_TIMEOUT_S
        while True:
            page: dict[str, Any] = {}
            if reply.get("jobComplete"):
                for row in reply.get("rows", ()):
                    yield row["f"][0]["v"]
                if not reply.get("pageToken"):
                    return
                page = {"pageToken": reply["pageToken"]}
            elif time.monotonic() >= ends_at:
                raise GatewayTimeout(f"no result after {_TOTAL_TIMEOUT_S:g} s")
            job = reply["jobReference"]
            where = {"location": job.get("location"), "timeoutMs": int(1000 * CALL_TIMEOUT_S), **page}
            reply = self._call("GET", f"{self._url}/{job['jobId']}", params=where)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _call(self, method: str, url: str, **content: Any) -> Any:
        from google.api_core.exceptions import from_http_response

        def call() -> Any:
            # Twice the time that BigQuery waits for the query.
            reply = self._session.request(method, url, timeout=2 * CALL_TIMEOUT_S, **content)
            if not reply.ok:
                raise from_http_response(reply)
            return reply.json()

        return self._retry(call)()


def _request(text: str, key: str, max_bytes: int) -> dict[str, Any]:
    return {
        "query": text,
        "useLegacySql": False,
        "parameterMode": "NAMED",
        "queryParameters": [
            {"name": "key", "parameterType": {"type": "STRING"}, "parameterValue": {"value": key}},
        ],
        "maximumBytesBilled": str(max_bytes),
        "timeoutMs": int(1000 * CALL_TIMEOUT_S),
        "requestId": uuid.uuid4().hex,  # a retry starts no second query
    }


def _record(text: str) -> Record:
    """Return the row of a response as JSON with the message's attributes. Raises ValueError."""
    attributes = json.loads(text).get("attributes")
    texts = {name: value for name, value in (attributes or {}).items() if isinstance(value, str)}
    return Record.of_response(decode_response(text.encode(), texts))


def _reasons(exc: Exception) -> set[str]:
    errors = getattr(getattr(exc, "cause", None) or exc, "errors", ())
    return {str(each.get("reason")) for each in errors if isinstance(each, dict)}


def _is_temporary(exc: Exception) -> bool:
    import requests

    return isinstance(exc, requests.ConnectionError) or bool(_reasons(exc) & _TEMPORARY)
