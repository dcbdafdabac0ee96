"""`make deploy`: the commands, their order, and where it stops. The tools are stand-ins; nothing is called."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from infra.deploy.__main__ import main
from infra.deploy.images import PAGE, source_tag
from tests.command_line import parsed
from tests.tools import BASE, REGISTRY, Tools, printed
from tests.waiting import until

PROJECT = {"PROJECT": "some-project"}
DEPLOY = [
    "gcloud services enable",
    "gcloud auth application-default",
    "terraform init",
    "terraform output",
    "terraform apply",
    "terraform output",
    "base-image base-image python:3.11-slim",
    "gcloud artifacts docker",
    "gcloud beta builds",
    "gcloud artifacts docker",
    "terraform apply",
    "terraform output",
    "smoke smoke",
]


def run(tools: Tools, *words: str, **given: str) -> int:
    return main(words or ["deploy"], PROJECT | given, tools.root)


def replaced(word: str, names: dict[str, str]) -> str:
    for name, other in names.items():
        word = word.replace(name, other)
    return word


def test_deploy_runs_both_stages_in_order(tools: Tools) -> None:
    assert run(tools) == 0
    assert tools.ran() == DEPLOY
    first, second = (call for call in tools.calls if "apply" in call)
    assert "-target=google_storage_bucket.this" in first and not any(word.startswith("-target") for word in second)
    assert f"-var=image={REGISTRY}@sha256:1" in second  # by digest, and of these sources


def test_printed_commands_are_the_ones_that_run(
    tools: Tools, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    odd = tmp_path / 'it\'s $(odd) "here" ; *.tfvars'
    odd.write_text("")
    assert run(tools, TFVARS=str(odd)) == 0
    shown = [words for words in printed(capfd.readouterr().out) if words[0] in ("gcloud", "env")]
    ran = [call for call in tools.calls if call[0] in ("gcloud", "terraform")]
    assert [words if words[0] == "gcloud" else words[2:] for words in shown] == ran
    workspaces = [words[1] for words in shown if words[0] == "env"]
    assert workspaces == ["TF_WORKSPACE=default", *["TF_WORKSPACE=some-project"] * 5]  # the first is init
    assert f"-var-file={odd}" in ran[4]


def test_a_dry_run_prints_the_same_and_runs_nothing(tools: Tools, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(tools, DRY_RUN="1") == 0
    dry = printed(capfd.readouterr().out)
    assert tools.calls == []
    assert run(tools) == 0
    wet = printed(capfd.readouterr().out)
    unknown = {tools.tag: "source-HASH", BASE: "python@sha256:DIGEST", "@sha256:1": "@sha256:DIGEST"}
    wet = [[replaced(word, unknown) for word in words] for words in wet]
    _, again = (i for i, words in enumerate(wet) if "images" in words)
    assert dry == wet[:again] + wet[again + 1 :]  # the registry is asked but once


@pytest.mark.parametrize("at", range(len(DEPLOY)))
def test_deploy_stops_at_the_first_failed_command(tools: Tools, at: int, capfd: pytest.CaptureFixture[str]) -> None:
    tools.forget(failing=at + 1)
    assert run(tools, PREFIX="dev") == 1
    assert tools.ran() == DEPLOY[: at + 1]
    said = capfd.readouterr().err
    assert said.startswith("deploy stopped: ") and "\nfailed with exit code 3. " in said
    assert said.endswith("When the problem is fixed, run: make deploy PROJECT=some-project PREFIX=dev\n")


def test_an_image_of_these_sources_is_not_built_again(tools: Tools, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(tools) == 0
    tools.forget()
    assert run(tools) == 0
    assert "gcloud beta builds" not in tools.ran()
    assert f"these sources exists already: {REGISTRY}@sha256:1" in capfd.readouterr().out
    (tools.root / "functions" / "main.py").write_text("other entry points\n")
    tools.forget()
    assert run(tools) == 1  # the stand-in builds nothing
    assert tools.ran()[-2:] == ["gcloud beta builds", "gcloud artifacts docker"]
    assert "is not in the registry" in capfd.readouterr().err


def test_the_image_tag_is_a_hash_of_the_sources(tools: Tools) -> None:
    tag = tools.tag
    (tools.root / "model" / "training" / "train.py").write_text("more epochs\n")
    (tools.root / "README.md").write_text("words\n")
    assert tools.tag == tag
    assert source_tag(tools.root, "python@sha256:fixed") != tag
    for changed in ("Dockerfile", "infra/slim.py", "functions/main.py"):
        (tools.root / changed).write_text("other\n")
        assert tools.tag != tag
        tag = tools.tag


def test_the_hashed_files_are_the_docker_context(root: Path) -> None:
    shown = {word for word in (root / ".dockerignore").read_text().split() if word.startswith("!")}
    assert shown == {f"!{name}" for name in (*PAGE.packages, "infra/slim.py")}


def test_a_function_is_packaged_and_no_image_is_built(tools: Tools) -> None:
    assert run(tools, COMPUTE="function") == 0
    done = tools.ran()
    assert done.index("make package") < done.index("terraform init")
    assert "gcloud beta builds" not in done
    assert not any(word.startswith("-var=image") for word in tools.calls[-3])


def test_an_artifact_is_uploaded_before_it_is_served(tools: Tools, root: Path) -> None:
    folder = root / "model" / "artifacts" / "fashion-mnist"
    assert run(tools, ARTIFACT=str(folder), PREFIX="dev") == 0
    at = tools.ran().index("gcloud storage rsync")
    place = tools.calls[at][-2]
    assert place.startswith("gs://some-project-dev-models/fashion-mnist/") and tools.calls[at][-3] == str(folder)
    assert f"-var=artifact_prefix={place.split('/', 3)[3]}" in tools.calls[at + 1]


def test_deploy_prints_the_clients_environment(tools: Tools, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(tools) == 0
    lines = [line for line in capfd.readouterr().out.splitlines() if line.startswith("export ")]
    script = "\n".join([*lines, "env"])
    printed = subprocess.run(["sh", "-c", script], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True)
    environ = dict(line.split("=", 1) for line in printed.stdout.splitlines())
    options = parsed(["publish", "shoe.png"], environ)
    assert (options.project, options.bucket) == ("some-project", "some-project-payloads")
    assert options.topic == "projects/some-project/topics/req_predict"
    assert options.response_topic == "projects/some-project/topics/res_predict"
    assert parsed(["upload", "shoe.png"], environ).bucket == "some-project-uploads"
    assert parsed(["doctor"], environ).url == "https://worker.example"
    assert "ENDPOINT_URL" not in environ  # none is open


def test_the_smoke_test_gets_the_deployed_entry_points(tools: Tools) -> None:
    tools.output(endpoint_url="https://endpoint.example", http_endpoint="anywhere")
    assert run(tools) == 0
    assert tools.calls[-1][1:] == [
        "smoke",
        "--project=some-project",
        "--topic=projects/some-project/topics/req_predict",
        "--response-topic=projects/some-project/topics/res_predict",
        "--bucket=some-project-uploads",
        "--url=https://endpoint.example",
    ]


def test_the_smoke_test_waits_for_a_pool_that_may_be_at_zero(tools: Tools) -> None:
    tools.output(first_response_seconds=900)
    assert run(tools) == 0
    assert tools.calls[-1][-1] == "--timeout=900"


def test_brought_resources_are_used(tools: Tools, root: Path) -> None:
    tools.output(
        topics={"req_predict": "projects/shared/topics/images", "res_predict": "projects/shared/topics/labels"},
        buckets={"uploads": "shop-images", "payloads": "shop-payloads", "models": "shop-models"},
        build={"bucket": "shop-models", "service_account": "maker@shared.iam.gserviceaccount.com"},
    )
    assert run(tools, ARTIFACT=str(root / "model" / "artifacts" / "fashion-mnist")) == 0
    [submit] = [call for call in tools.calls if "submit" in call]
    assert "--gcs-source-staging-dir=gs://shop-models/builds" in submit
    assert any(word.endswith("/serviceAccounts/maker@shared.iam.gserviceaccount.com") for word in submit)
    [upload] = [call for call in tools.calls if "rsync" in call]
    assert any(word.startswith("gs://shop-models/fashion-mnist/") for word in upload)
    assert {
        "--topic=projects/shared/topics/images",
        "--response-topic=projects/shared/topics/labels",
        "--bucket=shop-images",
    } <= set(tools.calls[-1])


def test_an_entry_point_without_access_is_not_tested(tools: Tools) -> None:
    tools.output(endpoint_url="https://endpoint.example", http_endpoint="internal")
    assert run(tools) == 0
    assert not any(word.startswith("--url") for word in tools.calls[-1])


def test_ctrl_c_waits_for_terraform_to_note_what_it_made(tools: Tools, root: Path, tmp_path: Path) -> None:
    slow = "trap 'sleep 1; touch noted; exit 1' INT\ntouch began\nwhile :; do sleep 0.05; done\n"
    (tools.bin / "terraform").write_text(f"#!/bin/sh\ncd {tmp_path}\n{slow}")
    command = (
        "import pathlib, sys; from infra.deploy.__main__ import main; "
        f"sys.exit(main(['deploy'], root=pathlib.Path({str(tools.root)!r})))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", command], cwd=root, env=os.environ | {"PROJECT": "some-project"}, start_new_session=True
    )
    assert until((tmp_path / "began").exists, 60)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to both
    assert process.wait(60) == 130
    assert (tmp_path / "noted").exists()


def test_make_passes_arguments_unchanged(root: Path) -> None:
    # -o: nothing is installed for it.
    make = ["make", "--silent", "-o", ".venv/.lean", f"PY={sys.executable}", "deploy"]
    done = subprocess.run([*make, "PROJECT=it's; odd", "DRY_RUN=1"], cwd=root, capture_output=True, text=True)
    assert done.stderr.startswith("deploy: PROJECT is \"it's; odd\"; it must be a project's id")
    done = subprocess.run([*make, "PROJECT=some-project", "DRY_RUN=1"], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0 and printed(done.stdout)[0][:3] == ["gcloud", "services", "enable"]
