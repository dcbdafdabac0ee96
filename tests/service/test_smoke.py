"""The smoke test against the whole twin: every entry point answers, and a broken one has its own line."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from google.cloud import pubsub_v1

from infra.deploy.__main__ import main
from infra.local.ports import free_port
from infra.local.twin import Twin
from tests.conftest import ROOT
from tests.service.doctor_harness import DoctorHarness
from tests.service.endpoint import Endpoint

REQ = "req_predict-sub"


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twin]:
    with Twin(worker="push", log_path=tmp_path_factory.mktemp("twin") / "worker.log") as running:
        yield running


def smoke(harness: DoctorHarness, *words: str) -> tuple[int, dict[str, tuple[str, str]]]:
    """The exit code, and by entry point how it went and what was said."""
    code = main(["smoke", "--url", harness.twin.env["WORKER_URL"], *words], os.environ, ROOT)
    lines = [line.split(maxsplit=2) for line in harness.capsys.readouterr().out.splitlines()]
    return code, {entry_point: (level, said) for level, entry_point, said in lines}


def test_every_entry_point_answers(harness: DoctorHarness) -> None:
    code, lines = smoke(harness)
    assert (code, list(lines)) == (0, ["topic", "bucket", "HTTP"])
    for level, said in lines.values():
        assert level == "ok"
        assert said.startswith("sneaker.jpg: Sneaker 0.") and ", by fashion-mnist, after " in said
    assert smoke(harness)[0] == 0  # nothing of the first is in the way


def test_without_an_address_the_http_endpoint_is_not_tested(harness: DoctorHarness) -> None:
    assert smoke(harness, "--url", "")[1].keys() == {"topic", "bucket"}


def test_smoke_reports_a_bucket_without_notifications(harness: DoctorHarness) -> None:
    harness.hush()
    code, lines = smoke(harness, "--timeout", "8")
    harness.notify()
    assert code == 1
    assert [lines[entry_point][0] for entry_point in ("topic", "bucket", "HTTP")] == ["ok", "fail", "ok"]
    assert lines["bucket"][1] == "sneaker.jpg: no answer within 8 s"


def test_smoke_reports_a_missing_bucket(harness: DoctorHarness) -> None:
    code, lines = smoke(harness, "--bucket", "no-such-bucket")
    assert (code, lines["bucket"][0], lines["topic"][0]) == (1, "fail", "ok")
    assert "404" in lines["bucket"][1] or "NotFound" in lines["bucket"][1]


def test_smoke_reports_a_missing_topic(harness: DoctorHarness) -> None:
    code, lines = smoke(harness, "--topic", "no_such_topic", "--timeout", "10")
    assert (code, lines["topic"][0], lines["HTTP"][0]) == (1, "fail", "ok")
    assert "it could not be published: NotFound" in lines["topic"][1]
    code, lines = smoke(harness, "--response-topic", "no_such_topic", "--timeout", "10")
    assert (code, lines["topic"][0], lines["bucket"][0], lines["HTTP"][0]) == (1, "fail", "fail", "ok")


def test_smoke_reports_an_endpoint_without_a_server(harness: DoctorHarness) -> None:
    code, lines = smoke(harness, "--url", f"http://127.0.0.1:{free_port()}")
    assert (code, lines["HTTP"][0], lines["topic"][0]) == (1, "fail", "ok")
    assert "nothing answers at" in lines["HTTP"][1]


def test_smoke_reports_a_missing_identity_token(harness: DoctorHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    code, lines = smoke(harness, "--url", "https://endpoint.example")
    assert (code, lines["HTTP"][0], lines["topic"][0]) == (1, "fail", "ok")
    assert lines["HTTP"][1].startswith("gcloud provides no identity token")


def test_smoke_reports_a_worker_that_does_not_answer(harness: DoctorHarness, endpoint: Endpoint) -> None:
    endpoint.statuses = [503]
    harness.push(REQ, f"{endpoint.url}/")
    code, lines = smoke(harness, "--timeout", "8")
    harness.push(REQ, f"{harness.twin.worker_url}/")
    assert (code, lines["topic"][0], lines["HTTP"][0]) == (1, "fail", "ok")
    assert lines["topic"][1] == "sneaker.jpg: no answer within 8 s"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--project", ""], "the project is missing"),
        (["--bucket", ""], "the bucket is missing"),
        (["--timeout", "0"], "--timeout is 0;"),
        (["--timeout", "nan"], "--timeout is nan;"),
    ],
)
def test_smoke_refuses_wrong_arguments(harness: DoctorHarness, words: list[str], said: str) -> None:
    assert main(["smoke", *words], os.environ, ROOT) == 2
    assert harness.capsys.readouterr().err.startswith(f"smoke: {said}")


def test_smoke_leaves_one_image_in_the_uploads_bucket(harness: DoctorHarness) -> None:
    before = {blob.name for blob in harness.gcloud.storage.list_blobs("uploads")}
    assert smoke(harness)[0] == 0
    [new] = {blob.name for blob in harness.gcloud.storage.list_blobs("uploads")} - before
    assert new.startswith("smoke/") and new.endswith("/sneaker.jpg")


def test_no_subscription_is_left_behind(harness: DoctorHarness) -> None:
    with pubsub_v1.SubscriberClient() as subscriber:
        kept = {each.name for each in subscriber.list_subscriptions(project="projects/local")}
        assert smoke(harness)[0] == 0
        assert {each.name for each in subscriber.list_subscriptions(project="projects/local")} == kept
