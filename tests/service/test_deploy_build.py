"""The image of a deployment: its base image, when it is built, and where. The tools are stand-ins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.deploy.__main__ import main
from infra.deploy.images import source_tag
from tests.tools import BASE, REGISTRY, Tools

OWN = f"europe-docker.pkg.dev/base/python/slim@sha256:{'c' * 64}"
BUILD = "gcloud beta builds"


def run(tools: Tools, **given: str) -> int:
    return main(["deploy"], {"PROJECT": "some-project"} | given, tools.root)


def submitted(tools: Tools) -> list[str]:
    """The words of the only build."""
    [build] = [call for call in tools.calls if "submit" in call]
    return build


def test_the_image_is_built_from_the_base_images_digest(tools: Tools) -> None:
    assert run(tools) == 0
    assert f"--substitutions=_IMAGE={REGISTRY}:{tools.tag},_BASE={BASE},_LOCK=requirements.lock" in submitted(tools)


def test_the_image_of_a_worker_on_kafka_has_kafkas_client(tools: Tools, capfd: pytest.CaptureFixture[str]) -> None:
    tag = source_tag(tools.root, BASE, "requirements.lock,requirements-kafka.lock")
    assert tag != tools.tag
    tools.images("source-old", tag)
    tools.images("source-old", once=True)
    assert run(tools, COMPUTE="kafka") == 0
    locks = "_LOCK=requirements.lock,_ALSO=requirements-kafka.lock"
    assert f"--substitutions=_IMAGE={REGISTRY}:{tag},_BASE={BASE},{locks}" in submitted(tools)
    assert not any("smoke" in words for words in tools.ran())
    assert "no smoke test: the brokers are reached from their network only" in capfd.readouterr().out


def test_a_fixed_base_image_is_built_again(tools: Tools) -> None:
    tools.images("source-old", tools.tag)
    assert run(tools) == 0
    assert BUILD not in tools.ran()
    fixed = f"python@sha256:{'f' * 64}"
    tools.answer("base-image", fixed)
    tools.images(source_tag(tools.root, fixed), tools.tag)
    tools.images(tools.tag, once=True)
    tools.forget()
    assert run(tools) == 0
    assert any(word.endswith(f",_BASE={fixed},_LOCK=requirements.lock") for word in submitted(tools))
    assert f"-var=image={REGISTRY}@sha256:0" in [call for call in tools.calls if "apply" in call][-1]


def test_an_existing_image_is_built_again_on_request(tools: Tools) -> None:
    tools.images("source-old", tools.tag)
    assert run(tools, REBUILD="1") == 0
    assert BUILD in tools.ran()


def test_a_given_digest_needs_no_registry(tools: Tools) -> None:
    tools.images(source_tag(tools.root, OWN))
    tools.images(once=True)
    assert run(tools, BASE_IMAGE=OWN) == 0
    assert not any(words.startswith("base-image") for words in tools.ran())
    assert any(word.endswith(f",_BASE={OWN},_LOCK=requirements.lock") for word in submitted(tools))


def test_another_tag_is_resolved(tools: Tools) -> None:
    assert run(tools, BASE_IMAGE="python:3.12-slim") == 0
    assert "base-image base-image python:3.12-slim" in tools.ran()


def test_without_the_registry_nothing_is_built(tools: Tools, capfd: pytest.CaptureFixture[str]) -> None:
    tools.answer("base-image", code=1)
    assert run(tools, REBUILD="1", BASE_IMAGE="mine:1") == 1
    assert BUILD not in tools.ran()
    said = capfd.readouterr().err
    assert "set BASE_IMAGE to an image with its digest: NAME@sha256:..." in said
    assert said.endswith("run: make deploy PROJECT=some-project BASE_IMAGE=mine:1 REBUILD=1\n")


@pytest.mark.parametrize("tags", ["source-new, {}", "{}", ["source-new", "{}"]], ids=str)
def test_tags_are_a_list_or_a_string(tools: Tools, tags: str | list[str]) -> None:
    given = tags.format(tools.tag) if isinstance(tags, str) else [tag.format(tools.tag) for tag in tags]
    image = {"package": REGISTRY, "createTime": "2026-11-29T09:00:00Z"}
    untagged = {**image, "version": "sha256:9", "tags": "" if isinstance(tags, str) else []}
    tools.answer("images list", json.dumps([untagged, {**image, "version": "sha256:1", "tags": given}]))
    assert run(tools) == 0
    assert BUILD not in tools.ran()
    assert f"-var=image={REGISTRY}@sha256:1" in [call for call in tools.calls if "apply" in call][-1]


def test_a_private_pool_builds_in_its_own_region(tools: Tools, tmp_path: Path) -> None:
    file, pool = tmp_path / "pool.tfvars", "projects/builds/locations/us-east1/workerPools/private"
    file.write_text(f'build_pool = "{pool}"\n')
    assert run(tools, TFVARS=str(file)) == 0
    assert f"--worker-pool={pool}" in submitted(tools)
    assert [word for word in submitted(tools) if word.startswith("--region")] == ["--region=us-east1"]


def test_a_pool_without_its_full_name_is_refused(
    tools: Tools, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "pool.tfvars"
    file.write_text('build_pool = "private"\n')
    assert run(tools, TFVARS=str(file)) == 2
    assert "build_pool is 'private'; it must be the full name of a private pool" in capfd.readouterr().err
    assert tools.calls == []
