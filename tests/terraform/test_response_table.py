"""Responses fit the topic's schema and the table in BigQuery, and the view keeps the answer that the client keeps.

DuckDB stands in for BigQuery: it knows records, repeated fields and QUALIFY, and reads rows by the table's own columns.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.results.bigquery_table import Table, query
from functions.messages.contract import Error, Response, decode_response, encode_response
from functions.messages.response_list import encode_list
from infra.local.pubsub.definitions import ProtocolBuffer, SchemaMismatch
from tests.service.bigquery_server import in_duckdb
from tests.terraform.conftest import Plan
from tests.unit.test_response_schema import FAILED, OK, answered, refused

TYPES = {
    "STRING": "VARCHAR",
    "INTEGER": "BIGINT",
    "FLOAT": "DOUBLE",
    "BOOLEAN": "BOOLEAN",
    "TIMESTAMP": "TIMESTAMP",
    "JSON": "JSON",
}
Row = dict[str, Any]


@pytest.fixture(scope="module")
def tables(plan: Plan) -> dict[str, Row]:
    return {each["name"]: each["values"] for each in plan() if each["type"] == "google_bigquery_table"}


@pytest.fixture(scope="module")
def columns(tables: dict[str, Row]) -> list[Row]:
    return list(json.loads(tables["responses"]["schema"]))


@pytest.fixture(scope="module")
def topics_schema(root: Path) -> ProtocolBuffer:
    return ProtocolBuffer((root / "infra" / "schemas" / "response.proto").read_text())


@given(response=answered | refused)
def test_every_response_fits_the_topics_schema(topics_schema: ProtocolBuffer, response: Response) -> None:
    topics_schema.check_json(encode_response(response))


@given(st.lists(answered | refused, min_size=1, max_size=3))
def test_every_list_fits_the_topics_schema(topics_schema: ProtocolBuffer, responses: list[Response]) -> None:
    topics_schema.check_json(encode_list(responses))


@pytest.mark.parametrize("change", [{"surprise": 1}, {"predictions": "Sneaker"}, {"schema_version": "one"}])
def test_other_messages_do_not_fit_the_schema(topics_schema: ProtocolBuffer, change: Row) -> None:
    with pytest.raises(SchemaMismatch):
        topics_schema.check_json(json.dumps({**json.loads(encode_response(OK)), **change}).encode())


def test_the_topics_schema_has_the_fields_of_the_table(root: Path, columns: list[Row]) -> None:
    """A field that only one of them has would be lost or refused."""
    schema = (root / "infra" / "schemas" / "response.proto").read_text()
    begin, end = schema.index("  message Item {"), schema.index("  }\n\n  int32 schema_version")
    item, schema = schema[begin:end], schema[:begin] + schema[end:].replace("repeated Item responses = 16;", "")
    assert {line.strip() for line in item.splitlines()[1:]} < {line.strip() for line in schema.splitlines()}
    metadata = {"publish_time", "message_id", "subscription_name", "attributes"}

    own = [each for each in columns if each["name"] not in metadata]
    inner = [part for each in own for part in each.get("fields", [])]
    assert sorted(re.findall(r"(\w+) = \d+;", schema)) == sorted(each["name"] for each in own + inner)
    assert metadata < {each["name"] for each in columns}


def test_rows_are_read_back_unchanged(columns: list[Row], tables: dict[str, Row], tmp_path: Path) -> None:
    bodies = [json.loads(encode_response(response)) for response in (OK, FAILED)]

    rows = asked("SELECT * FROM responses ORDER BY request_id", tables, columns, tmp_path, bodies)

    for body, row in zip(bodies, rows, strict=True):
        assert row["completed_at"] == datetime.fromisoformat(body.pop("completed_at")).replace(tzinfo=None)
        assert {name: row[name] for name in body} == body


@pytest.mark.parametrize(
    ("statuses", "kept"),
    [
        (["ok1", "ok2"], "ok1"),
        (["unavailable", "ok1"], "ok1"),
        (["ok1", "unavailable"], "ok1"),
        (["unavailable", "ok1", "expired", "ok2"], "ok1"),
        (["unavailable", "expired"], "expired"),
        (["expired", "unavailable"], "expired"),
        (["unavailable", "expired", "invalid_image", "unavailable"], "expired"),
        (["unavailable", "unavailable again"], "unavailable"),
    ],
    ids=str,
)
def test_the_view_keeps_the_same_response_as_the_client(
    statuses: list[str], kept: str, columns: list[Row], tables: dict[str, Row], tmp_path: Path
) -> None:
    bodies = [
        {
            **json.loads(encode_response(OK if name.startswith("ok") else failed(name.split()[0]))),
            "request_id": request_id,
            "message_id": name,
            "publish_time": f"2026-11-21T09:30:0{second}Z",
        }
        for request_id in ("one", "other")
        for second, name in enumerate(statuses)
    ]

    rows = asked(tables["answers"]["view"][0]["query"], tables, columns, tmp_path, bodies[::-1])

    assert sorted((row["request_id"], row["message_id"]) for row in rows) == [("one", kept), ("other", kept)]


def test_the_clients_search_fits_the_table(columns: list[Row], tables: dict[str, Row], tmp_path: Path) -> None:
    table = Table(*(tables["responses"][name] for name in ("project", "dataset_id", "table_id")))
    responses = [replace(OK, request_id=name) for name in ("one", "other")]
    bodies = [{**json.loads(encode_response(each)), "attributes": {"status": "ok"}} for each in responses]

    search = in_duckdb(query(table), str(table)).replace("$key", "'other'")
    [row] = asked(search, tables, columns, tmp_path, bodies)

    found = decode_response(row["response"].encode())
    assert replace(found, completed_at=OK.completed_at) == replace(responses[1], explanation=None, reply_to=None)


def failed(code: str) -> Response:
    return replace(FAILED, error=Error(code, "a sentence"))


def asked(query: str, tables: dict[str, Row], columns: list[Row], folder: Path, bodies: list[Row]) -> list[Row]:
    """The result of a query over `bodies` as rows of the table. In DuckDB the table is called `responses`."""
    table = tables["responses"]
    query = query.replace(f"`{table['project']}.{table['dataset_id']}.{table['table_id']}`", "responses")
    rows = folder / "rows.json"
    rows.write_text("\n".join(map(json.dumps, bodies)))
    kinds = ", ".join(f"{each['name']}: '{_type(each)}'" for each in columns)
    with duckdb.connect() as database:
        database.execute(f"CREATE TABLE responses AS SELECT * FROM read_json('{rows}', columns={{{kinds}}})")
        found = database.execute(query)
        names = [each[0] for each in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _type(column: Row) -> str:
    inner = ", ".join(f'"{each["name"]}" {_type(each)}' for each in column.get("fields", []))
    kind = f"STRUCT({inner})" if column["type"] == "RECORD" else TYPES[column["type"]]
    return f"{kind}[]" if column["mode"] == "REPEATED" else kind
