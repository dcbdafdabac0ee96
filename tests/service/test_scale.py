"""The command scale against servers that stand for Cloud Monitoring and Cloud Run, and what may go wrong."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import google.auth
import pytest
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError

from client.__main__ import main
from functions.entrypoints import scale_pool
from functions.scaling import google_api, monitoring, worker_pool
from functions.scaling.history import Minute
from tests.service.scaling_server import ACKED, BACKLOG, POOL, RAN, SUBSCRIPTION, Google

# Two instances handle 1,200 messages a minute, 10 a second each. 12,000 wait, and as many come in ten minutes.
BUSY = [Minute(12_000, 1200, 120)] * 20
IDLE = [*BUSY, *[Minute(0, 0, 120)] * 40]
SAID = "prediction-pool: backlog 12,000, 10 images/s per instance (measured in 19 busy minutes), needs 4, instances "


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Google]:
    def default(scopes: list[str]) -> tuple[AnonymousCredentials, None]:
        assert scopes == ["https://www.googleapis.com/auth/cloud-platform"]
        return AnonymousCredentials(), None

    monkeypatch.setattr(google.auth, "default", default)
    with Google(BUSY) as made:
        monkeypatch.setattr(monitoring, "ENDPOINT", made.url)
        monkeypatch.setattr(worker_pool, "ENDPOINT", made.url)
        yield made


def scale(*words: str) -> int:
    return main(["scale", POOL, "--subscription", SUBSCRIPTION, "--max", "10", *words], {})


def refused(capsys: pytest.CaptureFixture[str], server: Google, *words: str) -> str:
    """What the command says when it fails and changes nothing."""
    assert scale(*words) == 1
    shown = capsys.readouterr()
    assert shown.out == "" and server.changes == [] and shown.err.count("\n") == 1 and len(shown.err) < 330
    start = "predictions scale: nothing is changed: "
    assert shown.err.startswith(start)
    return shown.err.removeprefix(start).strip()


def test_a_backlog_starts_instances(server: Google, capsys: pytest.CaptureFixture[str]) -> None:
    assert scale() == 0
    assert capsys.readouterr().out == f"{SAID}from 2 to 4\n"
    assert server.changes == [{"name": POOL, "etag": "first", "scaling": {"manualInstanceCount": 4}}]
    assert scale() == 0
    assert capsys.readouterr().out == f"{SAID}stays at 4\n"
    assert len(server.changes) == 1


def test_a_dry_run_changes_nothing(server: Google, capsys: pytest.CaptureFixture[str]) -> None:
    assert scale("--dry-run") == 0
    assert capsys.readouterr().out == f"dry run, nothing is changed: {SAID}from 2 to 4\n"
    assert server.changes == []


def test_an_idle_pool_stops(server: Google, capsys: pytest.CaptureFixture[str]) -> None:
    server.minutes = IDLE
    assert scale() == 0 and "backlog 0, 10 images/s" in capsys.readouterr().out
    assert server.count == 0 and server.changes[0]["scaling"] == {"manualInstanceCount": 0}
    server.minutes = [*IDLE, Minute(1, 0, 0)]
    assert scale() == 0 and "needs 1, instances from 0 to 1" in capsys.readouterr().out


def test_a_pool_without_a_count_gets_one(server: Google, capsys: pytest.CaptureFixture[str]) -> None:
    server.count = None
    assert scale() == 0 and "instances from no count to 5" in capsys.readouterr().out
    assert server.count == 5


def test_the_given_rate_counts_until_there_is_a_measured_one(
    server: Google, capsys: pytest.CaptureFixture[str]
) -> None:
    server.minutes = [Minute(12_000, 0, 0)] * 30
    assert scale("--rate", "4") == 0
    assert "4 images/s per instance (as given), needs 5, instances from 2 to 5" in capsys.readouterr().out
    server.minutes = BUSY
    assert scale("--rate", "4", "--dry-run") == 0
    assert "10 images/s per instance (measured in 19 busy minutes), needs 4" in capsys.readouterr().out


def test_a_reply_in_pages_is_read_whole(server: Google, capsys: pytest.CaptureFixture[str]) -> None:
    server.page_size = 7
    assert scale() == 0 and capsys.readouterr().out == f"{SAID}from 2 to 4\n"


def test_the_job_logs_a_line_of_json(
    server: Google, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    words = [POOL, "--subscription", SUBSCRIPTION, "--max=10", "--json"]
    assert scale_pool.main(words) == 0
    line = json.loads(capfd.readouterr().err)
    wanted = {"pool": "prediction-pool", "backlog": 12_000, "images_per_s": 10, "busy_minutes": 19, "needed": 4}
    wanted |= {"before": 2, "after": 4, "dry_run": False, "severity": "INFO", "message": f"{SAID}from 2 to 4"}
    assert {name: line[name] for name in wanted} == wanted
    server.replies[BACKLOG] = 403, {}
    assert scale_pool.main(words) == 1
    line = json.loads(capfd.readouterr().err)
    assert line["severity"] == "ERROR" and line["message"].startswith(
        f"nothing is changed: {BACKLOG} cannot be read: 127"
    )


def test_without_a_measured_rate_nothing_is_changed(server: Google, capsys: pytest.CaptureFixture[str]) -> None:
    for minutes in (BUSY[:3], [Minute(12_000, 0, 0)] * 30, [Minute(0, 600, 60)] * 30):
        server.minutes = minutes
        assert refused(capsys, server).startswith("there is no measured rate: the pool was hardly busy")


def test_an_old_or_missing_backlog_is_refused(server: Google, capsys: pytest.CaptureFixture[str]) -> None:
    server.late = 11
    assert "backlog of req_predict-sub is not known: the latest one is 11 minutes old" in refused(capsys, server)
    server.late = 10
    assert scale("--dry-run") == 0
    capsys.readouterr()
    server.minutes = [Minute(None, 1200, 120)] * 20
    assert "is not known: there is none in the last day" in refused(capsys, server)
    server.replies[BACKLOG] = 200, {"timeSeries": []}
    assert "there is none in the last day" in refused(capsys, server)


def test_missing_acks_are_none(server: Google, capsys: pytest.CaptureFixture[str]) -> None:
    server.replies[ACKED] = 200, {}
    assert scale("--rate", "10") == 0 and "(as given), needs 2, instances stays at 2" in capsys.readouterr().out


FORM = "cannot be read: the reply does not have the documented form"
END = "2026-01-01T00:00:00Z"
ERROR = {"error": {"code": 403, "message": "Permission\n'x' denied\x1b on resource" + "!" * 999, "status": "DENIED"}}


def points(value: Any, at: str = END) -> dict[str, Any]:
    return {"timeSeries": [{"points": [{"interval": {"endTime": at}, "value": value}]}]}


@pytest.mark.parametrize("metric", [BACKLOG, ACKED, RAN])
@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (403, ERROR, "answered 403: Permission 'x' denied\\x1b on resource!!"),
        (403, "", "answered 403"),
        (500, "<html>", "answered 500"),
        (503, {"error": "down"}, "answered 503"),
        (302, "", "answered 302"),
        (204, "", "answered 204"),
        (200, "", "answered with no JSON object"),
        (200, "{", "answered with no JSON object"),
        (200, "[]", "answered with no JSON object"),
        (200, {"timeSeries": 5}, FORM),
        (200, {"timeSeries": [{}]}, FORM),
        (200, {"timeSeries": [{"points": 1}]}, FORM),
        (200, {"timeSeries": [{"points": []}] * 2}, "2 series came instead of one"),
        (200, {"executionErrors": [{"code": 8}], **points({"int64Value": "5"})}, "the reply is incomplete"),
        (200, points({"doubleValue": "NaN"}), "a value is 'NaN'; it must be a number from 0 up"),
        (200, points({"doubleValue": float("nan")}), "a value is"),
        (200, points({"doubleValue": 1e999}), "a value is"),
        (200, points({"int64Value": "-1"}), "a value is '-1'; it must be a number from 0 up"),
        (200, points({"int64Value": "many"}), FORM),
        (200, points({"boolValue": True}), FORM),
        (200, points({"int64Value": True}), FORM),
        (200, points({"int64Value": None}), FORM),
        (200, points({}), FORM),
        (200, points({"int64Value": "1"}, at="soon"), FORM),
        (200, points({"int64Value": "1"}, at="2026-01-01T00:00:00"), FORM),
        (200, {"timeSeries": [{"points": [{"value": {"int64Value": "1"}}]}]}, FORM),
        (200, {"nextPageToken": "again"}, "more than 20 pages came"),
    ],
)  # fmt: skip
def test_an_unusable_reply_of_cloud_monitoring_changes_nothing(
    metric: str, status: int, body: Any, said: str, server: Google, capsys: pytest.CaptureFixture[str]
) -> None:
    server.replies[metric] = status, body
    assert said in refused(capsys, server)


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (404, {"error": {"code": 404, "message": "Resource 'prediction-pool' was not found"}}, "404: Resource 'predic"),
        (403, ERROR, "answered 403: Permission"),
        (500, "", "answered 500"),
        (200, "{", "answered with no JSON object"),
        (200, {}, "no usable instance count and etag"),
        (200, {"scaling": {"manualInstanceCount": 2}}, "no usable instance count and etag"),
        (200, {"etag": "e", "scaling": {"manualInstanceCount": -1}}, "no usable instance count and etag: '-1'"),
        (200, {"etag": "e", "scaling": {"manualInstanceCount": "2"}}, "no usable instance count and etag"),
        (200, {"etag": "e", "scaling": {"manualInstanceCount": True}}, "no usable instance count and etag"),
        (200, {"etag": "e", "scaling": [2]}, "has the scaling mode"),
        (
            200,
            {"etag": "e", "scaling": {"scalingMode": "AUTOMATIC"}},
            "the scaling mode 'AUTOMATIC'; it must be MANUAL",
        ),
    ],
)
def test_an_unusable_pool_is_not_changed(
    status: int, body: Any, said: str, server: Google, capsys: pytest.CaptureFixture[str]
) -> None:
    server.replies["GET"] = status, body
    assert said in refused(capsys, server)


@pytest.mark.parametrize("mode", ["MANUAL", "SCALING_MODE_UNSPECIFIED"])
def test_a_pool_that_is_scaled_by_hand_is_changed(mode: str, server: Google) -> None:
    server.scaling = {"scalingMode": mode}
    assert scale() == 0 and server.count == 4


def test_of_two_scalers_at_once_one_changes_the_pool(server: Google, capsys: pytest.CaptureFixture[str]) -> None:
    def other() -> None:
        server.count, server.etag = 7, "other"

    server.hook = other
    assert "prediction-pool was changed by someone else meanwhile" in refused(capsys, server)
    assert server.count == 7


@pytest.mark.parametrize("status", [400, 403, 404, 409, 412, 429])
def test_a_refused_change_changes_nothing(status: int, server: Google, capsys: pytest.CaptureFixture[str]) -> None:
    server.replies["PATCH"] = status, ERROR
    said = "was changed by someone else" if status in (409, 412) else f"answered {status}: Permission"
    assert said in refused(capsys, server)


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (500, "", "answered 500"),
        (503, ERROR, "answered 503"),
        (200, "", "no JSON object"),
        (200, {"done": True, "error": {"code": 13, "message": "internal"}}, "the change of prediction-pool failed"),
        (0, "", "did not answer"),
    ],
)
def test_a_failed_change_is_said_to_be_unsure(
    status: int,
    body: Any,
    said: str,
    server: Google,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not status:
        monkeypatch.setattr(google_api, "_TIMEOUT_S", 3)
    server.replies["PATCH"] = status, body
    assert scale() == 1
    shown = capsys.readouterr()
    assert shown.out == "" and said in shown.err
    assert shown.err.startswith("predictions scale: whether the pool was changed is not known: ")


@pytest.mark.parametrize("what", [BACKLOG, ACKED, RAN, "GET"])
def test_a_hung_server_is_given_up(
    what: str, server: Google, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(google_api, "_TIMEOUT_S", 0.2)
    server.replies[what] = 0, ""
    assert "did not answer" in refused(capsys, server)


def test_without_credentials_nothing_is_changed(
    server: Google, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def default(scopes: list[str]) -> None:
        raise DefaultCredentialsError("none found")

    monkeypatch.setattr(google.auth, "default", default)
    assert refused(capsys, server) == "there are no credentials on this machine: none found"


def test_without_a_server_nothing_is_changed(
    server: Google, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitoring, "ENDPOINT", "http://127.0.0.1:9")
    assert "127.0.0.1:9 did not answer" in refused(capsys, server)
