"""The doctor on faults that gcloud cannot fix, with wrong arguments, and in an empty project."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from client.__main__ import main
from infra.local.ports import free_port
from infra.local.twin import Twin
from tests.conftest import absent
from tests.service.doctor_harness import PROJECT, DoctorHarness
from tests.service.endpoint import Endpoint
from tests.service.https_server import secure

REQ = "req_predict-sub"
TOKEN = {"service_account_email": "a@b.iam.gserviceaccount.com", "audience": "prediction-worker"}


@pytest.fixture(scope="module")
def twin() -> Iterator[Twin]:
    with Twin(worker=None, project=PROJECT) as running:
        yield running


@pytest.fixture
def artifact(root: Path, tmp_path: Path) -> Path:
    """A copy of the shipped artifact."""
    return Path(shutil.copytree(root / "model" / "artifacts" / "fashion-mnist", tmp_path / "mine"))


def test_a_pull_worker_passes_all_checks(harness: DoctorHarness) -> None:
    assert harness.visit() == (0, [])


def test_the_doctor_reports_a_worker_that_does_not_answer(harness: DoctorHarness) -> None:
    harness.push(REQ, f"http://127.0.0.1:{free_port()}/")
    code, [found] = harness.visit()
    assert (code, found["level"], found["subject"], found["fix"]) == (1, "fail", f"push {REQ}", "predictions up")
    assert found["message"].startswith("nothing answers at http://127.0.0.1:")
    harness.push(REQ, "")
    assert harness.visit() == (0, [])


def test_the_doctor_reports_a_worker_that_is_not_ready(harness: DoctorHarness, endpoint: Endpoint) -> None:
    harness.push(REQ, f"{endpoint.url}/")
    code, [found] = harness.visit()
    assert (code, found["subject"], found["fix"]) == (1, f"push {REQ}", "tail build/local/*/worker.log")
    assert found["message"] == f"the worker at {endpoint.url} is not ready: it answers 501"
    harness.push(REQ, "")


def test_the_doctor_reports_a_deployed_worker_that_does_not_answer(harness: DoctorHarness) -> None:
    harness.push(REQ, f"https://127.0.0.1:{free_port()}/", TOKEN)
    code, [found] = harness.visit()
    assert (code, found["fix"]) == (1, "make deploy PROJECT=local REGION=europe-west1")
    harness.push(REQ, "")


@pytest.mark.parametrize(
    ("status", "level", "verb"),
    [(200, "ok", ""), (403, "ok", ""), (404, "warn", "describe"), (503, "fail", "logs read")],
)
def test_the_doctor_checks_access_to_a_deployed_worker(
    harness: DoctorHarness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: int, level: str, verb: str
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "trusted.pem"))
    with secure(status, tmp_path / "trusted.pem") as url:
        harness.push(REQ, f"{url}/", TOKEN)
        code, findings = harness.visit()
    fix = f"gcloud run services {verb} prediction-worker --region=europe-west1 --project=local"
    assert [(each["level"], each["fix"]) for each in findings] == ([(level, fix)] if verb else [])
    assert code == (1 if level == "fail" else 0)
    harness.push(REQ, "")


def test_the_doctor_reports_an_altered_artifact(harness: DoctorHarness, artifact: Path) -> None:
    assert harness.visit("--artifact", str(artifact)) == (0, [])
    (artifact / "labels.txt").write_text("altered")
    code, [found] = harness.visit("--artifact", str(artifact))
    assert (code, found["subject"]) == (1, "artifact") and "labels.txt" in found["message"]
    assert found["fix"] == "predictions model export --run build/train/mine"


def test_the_doctor_checks_an_artifact_in_a_bucket(
    harness: DoctorHarness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scratch = tmp_path / "scratch" / "below"
    scratch.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    place, bucket = "gs://models/fashion-mnist", harness.gcloud.storage.bucket("models")
    code, [found] = harness.visit("--artifact", place)
    assert (code, found["message"]) == (1, f"manifest.json is missing from {place}")
    harness.gcloud.obey(found["fix"])
    assert harness.visit("--artifact", place) == (0, [])
    bucket.blob("fashion-mnist/../../escaped").upload_from_string(b"x")
    bucket.blob("fashion-mnist/model.tflite").upload_from_string(b"altered")
    code, [found] = harness.visit("--artifact", place)
    assert code == 1 and "model.tflite" in found["message"] and str(scratch) not in found["message"]
    assert list(scratch.parent.rglob("*")) == [scratch]
    harness.gcloud.obey(found["fix"])
    assert harness.visit("--artifact", place) == (0, [])
    code, [found] = harness.visit("--artifact", "gs://nowhere/fashion-mnist")
    assert (code, found["message"]) == (1, "the bucket nowhere does not exist")


@pytest.mark.parametrize(
    ("off_s", "level", "said"),
    [(3600, "fail", "ahead of"), (-3600, "fail", "behind"), (60, "warn", "ahead of"), (-60, "warn", "behind")],
)
def test_the_doctor_reports_a_wrong_clock(
    harness: DoctorHarness, monkeypatch: pytest.MonkeyPatch, off_s: float, level: str, said: str
) -> None:
    monkeypatch.setattr("client.doctor.checks.clock.time", lambda: time.time() + off_s)
    code, [found] = harness.visit()
    assert (code, found["level"], found["subject"]) == (1 if level == "fail" else 0, level, "clock")
    seconds, side = re.fullmatch(r"is (\d+) s (.*)", found["message"]).groups()  # type: ignore[union-attr]
    # The server tells whole seconds.
    assert side == f"{said} the server's" and abs(int(seconds) - abs(off_s)) <= 2
    assert found["fix"].startswith("sudo ")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--project", ""], "no project is set: give --project, or set GOOGLE_CLOUD_PROJECT"),
        (["--artifact", "s3://a/b"], "--artifact is 's3://a/b'; it must be a folder or look like gs://bucket/prefix"),
        (["--artifact", "gs://a"], "--artifact is 'gs://a'; it must be a folder or look like gs://bucket/prefix"),
        (["--url", "8080"], "--url is '8080'; it must look like http://HOST or https://HOST"),
        (["--topology", "absent.yaml"], "--topology absent.yaml cannot be read: no such file or directory"),
        (["--topology", "LICENSE"], "--topology LICENSE does not have the form of infra/topology.yaml: "),
        (["--topology", "client/requirements.txt"], "does not have the form of infra/topology.yaml: "),
    ],
)
def test_bad_input_is_one_sentence(harness: DoctorHarness, words: list[str], sentence: str) -> None:
    assert main(["doctor", *words], os.environ) == 2
    said = harness.capsys.readouterr()
    assert said.out == "" and len(said.err.splitlines()) == 1 and sentence in said.err


def test_the_doctor_refuses_a_prefix_that_terraform_refuses(harness: DoctorHarness) -> None:
    assert main(["doctor", "--prefix", "My_"], os.environ) == 2
    assert "'My_' must be at most 11 characters of a-z and 0-9" in harness.capsys.readouterr().err


def test_its_commands_build_an_environment_from_nothing(
    harness: DoctorHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("UPLOAD_BUCKET", "PAYLOAD_BUCKET"):
        monkeypatch.delenv(name)
    code, findings = harness.visit("--prefix", "dev")
    assert code == 1 and {"topic dev-req_predict", "bucket local-dev-uploads"} <= {each["subject"] for each in findings}
    _fixed(harness, harness.gcloud.obey, "--prefix", "dev")


def test_gcloud_accepts_its_commands(harness: DoctorHarness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if not shutil.which("gcloud"):
        absent("gcloud is not installed")
    monkeypatch.setenv("CLOUDSDK_AUTH_DISABLE_CREDENTIALS", "true")
    monkeypatch.setenv("CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK", "1")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("CLOUDSDK_CORE_DISABLE_PROMPTS", "1")
    harness.update(REQ, ack_deadline_seconds=30, retry_policy=None, dead_letter_policy=None)
    harness.update("res_predict-sub", expiration_policy={"ttl": {"seconds": 86400}})
    harness.update("dead_predict-sub", retry_policy={"minimum_backoff": {"seconds": 10}})
    harness.remake("dead_predict-announce", "req_predict")
    harness.push("res_predict-sub", "http://127.0.0.1:9/")
    harness.revoke(harness.gcloud.topic("req_predict"), "roles/pubsub.publisher")
    harness.notify()
    harness.empty("payloads")

    def run(command: str) -> None:
        done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, (command, done.stderr)

    _fixed(harness, run)


def _fixed(harness: DoctorHarness, run: Callable[[str], None], *words: str) -> None:
    """Run the suggested commands twice, because recreated resources have no grants yet; then all checks pass."""
    for _ in range(2):
        for command in dict.fromkeys(each["fix"] for each in harness.visit(*words)[1]):
            run(command)
    assert harness.visit(*words) == (0, [])
