"""`make deploy` with the real terraform and stand-ins of its providers; gcloud parses our commands."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra.check.terraform import Terraform, copy_files
from infra.deploy.__main__ import main
from infra.deploy.images import PAGE, source_tag
from infra.local.storage.server import StorageServer
from model.registry.registry import Registry
from tests.conftest import absent
from tests.dockerfile import ignored
from tests.registry_models import NAME, push, set_alias
from tests.tools import BASE, REGISTRY, Tools, printed

EXAMPLES = Path("infra") / "examples"
State = Callable[[str], dict[str, Any]]


@pytest.fixture
def tools(tmp_path: Path, terraform: Terraform, monkeypatch: pytest.MonkeyPatch) -> Tools:
    """A checkout with the files of infra/, the real terraform, and a gcloud that only records."""
    copy_files(tmp_path / "checkout" / "infra")
    tools = Tools(tmp_path)
    (tools.bin / "terraform").unlink()
    for name, value in terraform.environment.items():
        if name.startswith(("TF_", "CHECKPOINT_")):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", str(tools.bin), prepend=os.pathsep)
    tools.images("older", tools.tag)
    return tools


def run(tools: Tools, command: str, **given: str) -> int:
    return main([command], {"PROJECT": "some-project"} | given, tools.root)


def state(tools: Tools, workspace: str = "some-project") -> dict[str, Any]:
    """Existing resources by their Terraform address."""
    command = ["terraform", "-chdir=infra", "show", "-json"]
    done = subprocess.run(
        command, cwd=tools.root, env=os.environ | {"TF_WORKSPACE": workspace}, capture_output=True, check=True
    )
    module = json.loads(done.stdout).get("values", {}).get("root_module", {})
    return {each["address"]: each["values"] for each in module.get("resources", []) if each["mode"] == "managed"}


def worker(tools: Tools) -> tuple[str, str]:
    """The image that runs, and the place of its model."""
    container = state(tools)['google_cloud_run_v2_service.this["worker"]']["template"][0]["containers"][0]
    return container["image"], {each["name"]: each["value"] for each in container["env"]}["ARTIFACT"]


def test_deploy_and_destroy_from_an_empty_project(tools: Tools, root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = {"ARTIFACT": str(root / "model" / "artifacts" / "fashion-mnist")}
    tools.images()
    assert run(tools, "deploy", **model) == 1  # it builds nothing
    kinds = {address.split(".")[0] for address in state(tools)}
    assert {"google_artifact_registry_repository", "google_storage_bucket", "google_service_account"} <= kinds
    assert not kinds & {"google_cloud_run_v2_service", "google_pubsub_topic", "google_bigquery_table"}

    tools.images("older", tools.tag)
    assert run(tools, "deploy", **model) == 0
    image, place = worker(tools)
    assert image == f"{REGISTRY}@sha256:1" and place.startswith("gs://some-project-models/fashion-mnist/")
    out = capfd.readouterr().out
    assert "export UPLOAD_BUCKET=some-project-uploads\n" in out
    assert "export REQUEST_TOPIC=projects/some-project/topics/req_predict\n" in out
    assert "export WORKER_URL=https://prediction-worker.example\n" in out

    assert run(tools, "deploy", **model) == 0
    said = capfd.readouterr().out
    assert "# 1 of 2: the registry and the buckets exist already\n" in said
    assert said.count("Resources: 0 added, 0 changed, 0 destroyed") == 1
    assert run(tools, "plan", **model) == 0 and run(tools, "plan", DRIFT="1") == 0
    assert capfd.readouterr().out.count("No changes.") == 2
    assert run(tools, "plan", DRIFT="1", TFVARS=str(root / EXAMPLES / "prod.tfvars")) == 1
    heard = capfd.readouterr()
    assert "failed with exit code 2. With exit code 2, the deployment differs" in heard.err
    assert "response_store" in heard.out

    tools.images("older")
    assert run(tools, "deploy") == 1  # again: existing resources are unchanged
    assert run(tools, "rollback", IMAGE="older", REGION="us-east1") == 2
    capfd.readouterr()
    assert run(tools, "rollback", IMAGE="older") == 0
    assert worker(tools) == (f"{REGISTRY}@sha256:0", place)
    assert "Resources: 0 added, 1 changed, 0 destroyed" in capfd.readouterr().out

    assert run(tools, "destroy", CONFIRM="some-project") == 0
    assert state(tools) == {}


def test_an_alias_that_moves_changes_nothing_in_terraform(
    tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "models.tfvars"
    file.write_text(f'models = ["{NAME}"]\n')
    with StorageServer(names=["some-project-models"]) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        assert run(tools, "deploy", TFVARS=str(file)) == 0
        registry = Registry.at("gs://some-project-models/registry")
        shipped = registry.aliases(NAME)["stable"].target
        container = state(tools)['google_cloud_run_v2_service.this["worker"]']["template"][0]["containers"][0]
        settings = {each["name"]: each["value"] for each in container["env"]}
        assert (settings["REGISTRY"], settings["MODELS"]) == (registry.address, NAME) and "ARTIFACT" not in settings

        set_alias(registry, push(registry, tmp_path, "9")[0])
        capfd.readouterr()
        assert run(tools, "plan", DRIFT="1", TFVARS=str(file)) == 0
        assert "No changes." in capfd.readouterr().out
        set_alias(registry, shipped)
        assert run(tools, "plan", TFVARS=str(file)) == 0
        assert "No changes." in capfd.readouterr().out
        assert run(tools, "destroy", CONFIRM="some-project", TFVARS=str(file)) == 0


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_the_examples_deploy(tools: Tools, root: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(tools, "deploy", TFVARS=str(root / EXAMPLES / f"{name}.tfvars")) == 0
    assert "undeclared" not in capfd.readouterr().out  # which would be no more than a warning
    assert state(tools, "some-project.dev" if name == "dev" else "some-project")


def test_a_brought_bucket_gets_the_sources_of_the_first_build(tools: Tools, tmp_path: Path) -> None:
    file = tmp_path / "brought.tfvars"
    file.write_text('existing = {\n  buckets = { models = "shop-models" }\n}\n')
    tools.images()
    assert run(tools, "deploy", TFVARS=str(file)) == 1  # it builds nothing
    [submit] = [call for call in tools.calls if "submit" in call][:1]
    assert "--gcs-source-staging-dir=gs://shop-models/builds" in submit
    assert any(word.endswith("prediction-builder@some-project.example") for word in submit)


def test_an_open_entry_point_is_tested(tools: Tools, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "endpoint.tfvars"
    file.write_text('http_endpoint = "anywhere"\n')
    assert run(tools, "deploy", TFVARS=str(file)) == 0
    assert "export ENDPOINT_URL=https://prediction-endpoint.example\n" in capfd.readouterr().out
    assert tools.calls[-1][0] == "smoke" and "--url=https://prediction-endpoint.example" in tools.calls[-1]


def test_the_page_is_deployed_and_removed(tools: Tools, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file, image = tmp_path / "page.tfvars", REGISTRY.replace("worker", "page")
    file.write_text('page = {\n  members = { team = "group:team@example.com" }\n}\n')
    tools.images(source_tag(tools.root, BASE, recipe=PAGE), name="page")
    assert run(tools, "deploy", TFVARS=str(file)) == 0
    page = state(tools)["google_cloud_run_v2_service.page[0]"]
    assert page["template"][0]["containers"][0]["image"] == f"{image}@sha256:0" and page["iap_enabled"]
    out = capfd.readouterr().out
    assert "\n# the page: https://prediction-page.example (" in out
    assert "\nexport PAGE_URL=https://prediction-page.example\n" in out
    assert run(tools, "plan", DRIFT="1", TFVARS=str(file)) == 0
    assert run(tools, "plan", DRIFT="1") == 2
    assert "page is off, but some-project is deployed with page=on" in capfd.readouterr().err
    assert run(tools, "deploy") == 0
    assert not [address for address in state(tools) if ".page" in address or ".iap" in address]


def test_two_deployments_do_not_interfere(tools: Tools, root: Path) -> None:
    with StorageServer(names=["states"]) as server:
        twin = f'bucket = "states"\n    storage_custom_endpoint = "{server.url}/storage/v1/"\n    access_token = "any"'
        example = (root / EXAMPLES / "backend.tf.example").read_text()
        (tools.root / "infra" / "backend.tf").write_text(example.replace('bucket = "NAME"', twin))
        assert run(tools, "deploy") == 0
        assert run(tools, "deploy", PREFIX="dev") == 0
        assert all("dev-" not in json.dumps(values) for values in state(tools).values())
        assert any("dev-" in json.dumps(values) for values in state(tools, "some-project.dev").values())
        states = {f"image-prediction/{name}.tfstate" for name in ("some-project", "some-project.dev")}
        assert states <= set(server.objects("states"))


def test_gcloud_accepts_every_argument(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not shutil.which("gcloud"):
        absent("gcloud is not installed")
    model = str(root / "model" / "artifacts" / "fashion-mnist")
    assert main(["deploy"], {"PROJECT": "some-project", "DRY_RUN": "1", "ARTIFACT": model}) == 0
    commands = [words for words in printed(capsys.readouterr().out) if words[0] == "gcloud"]
    assert len(commands) == 5
    pool = tmp_path / "pool.tfvars"
    pool.write_text('build_pool = "projects/builds/locations/europe-west1/workerPools/private"\n')
    assert main(["deploy"], {"PROJECT": "example.com:shop-1", "DRY_RUN": "1", "TFVARS": str(pool)}) == 0
    commands += [words for words in printed(capsys.readouterr().out) if "builds" in words]
    assert any("--worker-pool=" in word for word in commands[-1])
    # Nobody is signed in here: it ends there, with 1, once it has understood; words that it does not know are 2.
    env = os.environ | {"CLOUDSDK_CONFIG": str(tmp_path), "CLOUDSDK_CORE_DISABLE_PROMPTS": "1"}
    for command in [*commands, ["gcloud", "auth", "print-identity-token"]]:
        done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, timeout=120)
        assert done.returncode == 1 and "credentials" in done.stderr, (command, done.stderr)


def test_gcloud_uploads_what_the_image_contains_and_no_secrets(root: Path, tmp_path: Path) -> None:
    if not shutil.which("gcloud"):
        absent("gcloud is not installed")
    for name in ("client", "functions", "model"):
        shutil.copytree(root / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (
        "Dockerfile",
        ".dockerignore",
        ".gcloudignore",
        "infra/slim.py",
        "infra/page.Dockerfile",
        "infra/main.tf",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text((root / name).read_text() if (root / name).exists() else "")
    left_out = ignored(root)
    files = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()]
    image = {file for file in files if not left_out(file)}
    assert {"functions/main.py", "functions/requirements.lock", "infra/slim.py"} <= image
    assert {"client/web/static/index.html", "client/requirements.lock"} <= image
    for secret in (
        ".env",
        "dev.tfvars",
        "key.pem",
        "infra/terraform.tfstate",
        "client/.env",
        "functions/.env",
        "model/key.json",
    ):
        (tmp_path / secret).write_text("secret")
    command = ["gcloud", "meta", "list-files-for-upload", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    sent = set(done.stdout.split())
    unused = {"Dockerfile", ".dockerignore", "infra/page.Dockerfile", "model/__main__.py", "model/beam.py"}
    assert sent - unused == image
