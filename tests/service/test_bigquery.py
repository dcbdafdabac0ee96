"""The command results find in a table of BigQuery: a server speaks the REST calls, and DuckDB runs the query."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import google.auth
import pytest
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError

from client.__main__ import main
from client.results import bigquery_table
from client.results.record import Record, from_row
from functions.messages.contract import Error, Response, Source
from functions.messages.trace_context import TraceContext
from model.labels import Explanation
from tests.service.bigquery_server import BigQuery
from tests.unit.test_result_files import answer

TABLE = f"bigquery:{BigQuery.table}"
EVIL = "x' OR '1'='1"
RESPONSES = [
    replace(answer("r1"), source=Source("shop/bag.png"), trace=TraceContext.begin(), reply_to="me"),
    replace(
        answer("r2"), source=Source("bag.png", "gs://b/other.png#1"), explanation=Explanation("a", "occlusion", b"")
    ),
    Response("b/up.png#12", error=Error("invalid_image", "no\nimage"), source=Source(None, "gs://b/up.png#12")),
    replace(answer("r1"), source=Source("shop/bag.png"), delivery_attempt=3),
    replace(answer(EVIL), source=Source("")),
    replace(answer("r3"), source=Source("two.png"), labels=("Bag", "Coat")),
]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[BigQuery]:
    def default(scopes: list[str]) -> tuple[AnonymousCredentials, None]:
        assert scopes == ["https://www.googleapis.com/auth/bigquery"]
        return AnonymousCredentials(), None

    monkeypatch.setattr(google.auth, "default", default)
    with BigQuery(RESPONSES) as made:
        monkeypatch.setattr(bigquery_table, "_ENDPOINT", made.url)
        yield made


def find(capsys: pytest.CaptureFixture[str], key: str, *words: str) -> tuple[int, list[Record], str]:
    code = main(["results", "find", key, "--in", TABLE, "--json", *words], {})
    said = capsys.readouterr()
    return code, [from_row(json.loads(line)) for line in said.out.splitlines()], said.err


@pytest.mark.parametrize(
    ("key", "places"),
    [
        ("r1", [0, 3]),
        ("shop/bag.png", [0, 3]),
        ("bag.png", [0, 1, 3]),
        ("up.png#12", [2]),
        ("gs://b/up.png#12", [2]),
        ("b/up.png#12", [2]),
        (EVIL, [4]),
        ("r3", [5]),
    ],
)
def test_rows_are_those_that_collect_would_write(
    key: str, places: list[int], server: BigQuery, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found, err = find(capsys, key)
    assert (code, err) == (0, "")
    assert found == [Record.of_response(RESPONSES[place]) for place in places]


@pytest.mark.parametrize("key", ["r", "png", "other.png#1", "", "%", ".*", "$key", "`", "hop/bag.png", "' OR 1=1 --"])
def test_other_keys_find_nothing(key: str, server: BigQuery, capsys: pytest.CaptureFixture[str]) -> None:
    code, found, err = find(capsys, key)
    assert code == 1 and found == [] and "no row has the request id or file" in err


def test_the_key_is_a_parameter_and_the_price_is_limited(server: BigQuery, capsys: pytest.CaptureFixture[str]) -> None:
    find(capsys, EVIL)
    first = server.request
    find(capsys, "r1", "--max-bytes", "5e6", "--project", "payer")
    assert first["query"] == server.request["query"] and EVIL not in first["query"]
    assert first["queryParameters"][0]["parameterValue"] == {"value": EVIL}
    assert (first["maximumBytesBilled"], server.request["maximumBytesBilled"]) == ("10000000000", "5000000")
    assert first["requestId"] != server.request["requestId"]
    assert [path for path, _ in server.calls] == [f"/bigquery/v2/projects/{each}/queries" for each in ("p", "payer")]


def test_a_slow_query_and_several_pages(server: BigQuery, capsys: pytest.CaptureFixture[str]) -> None:
    server.incomplete, server.page_size = 2, 1
    code, found, _ = find(capsys, "bag.png")
    assert code == 0 and [record.request_id for record in found] == ["r1", "r2", "r1"]
    assert [bool(content.get("pageToken")) for _, content in server.calls] == [False, False, False, True, True]


def test_a_query_without_an_end_is_given_up(
    server: BigQuery, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bigquery_table, "_TOTAL_TIMEOUT_S", 0.0)
    server.incomplete = 1000
    code, _, err = find(capsys, "r1")
    assert code == 2 and err.endswith(f"{BigQuery.table} cannot be searched: GatewayTimeout: no answer in time\n")


def test_many_rows_are_limited(
    server: BigQuery, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server._rows *= 600
    code, found, err = find(capsys, "shop/bag.png")
    assert code == 0 and len(found) == 1000 and "there are more than 1,000 rows; the others are not shown" in err


@pytest.mark.parametrize(
    ("status", "reason", "said"),
    [
        (500, "bytesBilledLimitExceeded", "it would read more than 7 bytes; allow more with --max-bytes"),
        (400, "invalidQuery", "it lacks columns of a table of responses; see infra/README.md"),
        (403, "accessDenied", "your account may not read it, or may not run queries in payer"),
        (404, "notFound", f"NotFound: {BigQuery.table} does not exist"),
        (
            401,
            "authError",
            "the credentials are missing or expired: gcloud auth application-default login",
        ),
        (403, "quotaExceeded", f"Forbidden: your account may not use {BigQuery.table}"),
    ],
)
def test_an_error_of_bigquery_is_one_sentence(
    status: int, reason: str, said: str, server: BigQuery, capsys: pytest.CaptureFixture[str]
) -> None:
    server.failures = [(status, reason)] * 3
    code, found, err = find(capsys, "r1", "--max-bytes", "7", "--project", "payer")
    assert (code, found) == (2, [])
    assert err.startswith(f"predictions results: {BigQuery.table} cannot be searched: ") and err.endswith(f"{said}\n")
    assert err.count("\n") == 1 and len(err) <= 300


def test_a_temporary_error_is_tried_again_under_one_id(server: BigQuery, capsys: pytest.CaptureFixture[str]) -> None:
    server.failures = [(503, "backendError"), (500, "internalError")]
    assert find(capsys, "b/up.png#12")[0] == 0
    assert len(server.calls) == 3 and len({content["requestId"] for _, content in server.calls}) == 1


def test_missing_credentials_are_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def default(scopes: list[str]) -> None:
        raise DefaultCredentialsError("LONG")

    monkeypatch.setattr(google.auth, "default", default)
    code, _, err = find(capsys, "r1")
    assert code == 2 and "the credentials are missing or expired" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    "name", ["", "p", "p.d", "p.d.t.u", "p.d.`", "p.d.t` --", "P.d.t", "../p.d.t", "p.d-e.t", "p.d.t\n"]
)
def test_a_name_that_is_no_table_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["results", "find", "r1", "--in", f"bigquery:{name}"], {}) == 2
    assert "names no table; it must look like bigquery:PROJECT.DATASET.TABLE" in capsys.readouterr().err


def test_a_row_that_is_no_response_is_named(server: BigQuery, capsys: pytest.CaptureFixture[str]) -> None:
    server._rows[2]["status"] = "ok"
    code, _, err = find(capsys, "b/up.png#12")
    assert code == 2 and f"{BigQuery.table} row 1: status is 'ok'; with this error it must be error" in err
