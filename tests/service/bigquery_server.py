"""An HTTP server with the two calls of BigQuery's REST interface that a search needs; DuckDB runs the queries."""

from __future__ import annotations

import json
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import duckdb

from functions.messages.contract import Response, encode_response, response_attributes
from tests.service.local_server import LocalServer

_MODEL = "STRUCT(name VARCHAR, version VARCHAR, digest VARCHAR, engine VARCHAR)"
_COLUMNS = {
    "request_id": "VARCHAR",
    "status": "VARCHAR",
    "predictions": "STRUCT(label VARCHAR, score DOUBLE)[]",
    "model": _MODEL,
    "source": "STRUCT(filename VARCHAR, image_uri VARCHAR)",
    "error": "STRUCT(code VARCHAR, message VARCHAR)",
    "timing_ms": 'STRUCT("queue" DOUBLE, "fetch" DOUBLE, decode DOUBLE, predict DOUBLE, total DOUBLE)',
    "delivery_attempt": "BIGINT",
    "completed_at": "VARCHAR",
    "multi_label": "BOOLEAN",
    "labels": "VARCHAR[]",
    "attributes": "JSON",
    "publish_time": "TIMESTAMP",
}


def in_duckdb(query: str, table: str) -> str:
    """The query in DuckDB's dialect, over a table called `responses`; its parameter is `$key`."""
    replaced = {f"`{table}`": "responses", "TO_JSON_STRING(": "to_json(", "@key": "$key"}
    for old, new in replaced.items():
        assert old in query, old
        query = query.replace(old, new)
    return query


class BigQuery(LocalServer):
    """Answers queries over `responses`, which were published in this order to the table `p.predictions.responses`.

    `failures`: statuses and reasons of the next replies. `incomplete`: that many replies say that the query still runs.
    """

    table = "p.predictions.responses"

    def __init__(self, responses: Sequence[Response]) -> None:
        self._rows = [
            {
                **json.loads(encode_response(each)),
                "attributes": response_attributes(each),
                "publish_time": f"2026-11-21T09:{number // 60:02}:{number % 60:02}Z",
            }
            for number, each in enumerate(responses)
        ]
        self.failures: list[tuple[int, str]] = []
        self.incomplete, self.page_size = 0, 1000
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._results: list[str] = []
        super().__init__(self._handler())

    @property
    def request(self) -> dict[str, Any]:
        """The body of the latest query."""
        return [content for path, content in self.calls if path.endswith("/queries")][-1]

    def _reply(self, path: str, content: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.calls.append((path, content))
        if self.failures:
            status, reason = self.failures.pop(0)
            errors = [{"reason": reason, "message": "LONG", "domain": "global"}]
            return status, {"error": {"code": status, "message": "LONG", "errors": errors}}
        if "query" in content:
            self._results = self._run(content)
        elif content["location"] != "europe-west1":
            return 404, {"error": {"code": 404, "message": "Not found: Job", "errors": [{"reason": "notFound"}]}}
        job = {"projectId": path.split("/")[4], "jobId": "job_1", "location": "europe-west1"}
        if self.incomplete:
            self.incomplete -= 1
            return 200, {"jobComplete": False, "jobReference": job}
        begin = int(content.get("pageToken", 0))
        page = self._results[begin : begin + self.page_size]
        more = {"pageToken": str(begin + len(page))} if begin + len(page) < len(self._results) else {}
        rows = {"rows": [{"f": [{"v": text}]} for text in page]} if page else {}
        schema = {"fields": [{"name": "response", "type": "STRING", "mode": "NULLABLE"}]}
        whole = {"jobComplete": True, "jobReference": job, "schema": schema, "totalRows": str(len(self._results))}
        return 200, {**whole, **rows, **more}

    def _run(self, request: dict[str, Any]) -> list[str]:
        assert request["useLegacySql"] is False and request["parameterMode"] == "NAMED"
        [parameter] = request["queryParameters"]
        assert parameter["parameterType"] == {"type": "STRING"}
        with duckdb.connect() as database:
            kinds = ", ".join(f'"{name}" {kind}' for name, kind in _COLUMNS.items())
            database.execute(f"CREATE TABLE responses ({kinds})")
            structure = json.dumps([_COLUMNS])
            database.execute(
                f"INSERT INTO responses SELECT unnest(from_json($rows, '{structure}'), max_depth := 2)",
                {"rows": json.dumps(self._rows)},
            )
            key = {parameter["name"]: parameter["parameterValue"]["value"]}
            found = database.execute(in_duckdb(request["query"], self.table), key).fetchall()
        return [text for (text,) in found]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def do_GET(self) -> None:
                self._answer({name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()})

            def _answer(self, content: dict[str, Any]) -> None:
                status, body = server._reply(urlsplit(self.path).path, content)
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        return Handler
