"""infra/ as a module: a root of a user calls it, with resources whose ids are not known at the plan."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from client.doctor.expected import Expected
from client.gcp import Cloud
from infra.check import examples, outputs, permissions, scenarios, tables
from infra.check.terraform import Terraform, copy_files
from infra.check.toolchain import INFRA
from tests.terraform.mutants import Mutant, mutants

MUTANTS = mutants("examples")


def state(terraform: Terraform, root: Path) -> list[dict[str, Any]]:
    """The resources of the module's instances after an apply of a root."""
    terraform(root, "init", "-backend=false", "-input=false")
    terraform.planned(root, scenarios.EXAMPLE)
    values = terraform.applied(root)["values"]["root_module"]
    return [each for module in values["child_modules"] for each in module["resources"]]


def placed(folder: Path, name: str) -> Path:
    """The root of an example below a copy of the module."""
    root = folder / "examples" / name
    root.mkdir(parents=True)
    (root / "main.tf").write_text(examples.roots()[name])
    return root


def test_every_example_is_a_root_that_the_page_names() -> None:
    names = {path.name for path in (INFRA / "examples").iterdir() if path.is_dir()}

    assert names == {"minimal", "production", "brought", "two-regions"}
    assert examples.roots().keys() == {*names, "README.md"}
    assert all(f"(examples/{name}/main.tf)" in tables.PAGE.read_text() for name in names)


def test_the_readmes_module_is_short_and_comes_first() -> None:
    before, block = re.split(r"^```hcl\n", examples.PAGE.read_text(), maxsplit=1, flags=re.M)

    assert "\n## " not in before and len(block.partition("```")[0].splitlines()) <= 10
    assert 'source     = "../.."' in examples.roots()["README.md"]


def test_two_instances_in_one_root_share_no_name(terraform: Terraform, tmp_path: Path) -> None:
    found = state(terraform, placed(copy_files(tmp_path / "infra"), "two-regions"))
    kinds = ("google_pubsub_topic", "google_pubsub_subscription", "google_storage_bucket", "google_service_account")
    named = [
        (each["type"], each["values"].get("name", each["values"].get("account_id")))
        for each in found
        if each["type"] in kinds
    ]
    keys = {each["values"]["crypto_key_id"] for each in found if each["type"] == "google_kms_crypto_key_iam_member"}
    clients = [
        each["values"]["member"]
        for each in found
        if each["type"] == "google_pubsub_topic_iam_member" and each["name"] == "client"
    ]

    assert len(named) > 20 and len(named) == len(set(named))
    assert keys == {
        f"projects/some-project/locations/{region}/keyRings/predictions/cryptoKeys/predictions"
        for region in ("europe-west1", "europe-west4")
    }
    assert clients == ["serviceAccount:shop@some-project.example"] * 2


def test_the_grants_on_brought_resources_are_those_on_new_ones(terraform: Terraform, tmp_path: Path) -> None:
    module = copy_files(tmp_path / "infra")
    new, brought = (
        {
            (grant.source, *(names(part) for part in (grant.who, grant.role, grant.on)))
            for grant in permissions.grants(state(terraform, placed(module, name)))
            # The access of a brought dataset is its owner's choice.
            if grant.source != "google_bigquery_dataset.this"
        }
        for name in ("minimal", "brought")
    )

    assert new == brought and len(new) >= 15


def test_the_doctor_reads_the_output_of_a_deployment(terraform: Terraform, tmp_path: Path) -> None:
    root = placed(copy_files(tmp_path / "infra"), "brought")
    created = [each["values"] for each in state(terraform, root) if each["type"] == "google_pubsub_subscription"]
    file = tmp_path / "topology.json"
    file.write_text(json.loads(terraform(root, "output", "-json", "pipeline").output)["topology"])

    expected = Expected.read(file, Cloud("some-project"), "", {"uploads": "images", "payloads": "payloads"})

    topics = {each["id"]: each["topic"] for each in created}
    assert expected.responses == "projects/some-project/topics/shop-predictions"
    assert all(topics[each.name] == each.topic for each in expected.subscriptions)
    assert {"projects/some-project/topics/shop-images", expected.responses} < {topic.name for topic in expected.topics}


def names(text: str) -> str:
    """A name of the example's brought resources as the name of the new resource."""
    for own, other in (
        ("topic shop-images", "topic req_predict"),
        ("topic shop-predictions", "topic res_predict"),
        ("bucket PROJECT-shop-images", "bucket PROJECT-uploads"),
    ):
        text = other if text == own else text
    account = r"^(?:account )?(?:serviceAccount:)?(?:shop|prediction)-(\w+)(?:@(?:PROJECT|some-project)\.example)?$"
    return re.sub(account, r"\1", text)


@pytest.mark.parametrize("name", MUTANTS)
def test_examples_layer_finds(name: str, terraform: Terraform, tmp_path: Path) -> None:
    mutant = MUTANTS[name]
    root = placed(mutant.written(tmp_path / "infra"), mutant.way)

    assert mutant.said in "\n".join(examples.rehearse(terraform, root))


@pytest.fixture
def rehearsed(tmp_path: Path) -> Iterator[Path]:
    """A folder with the outputs of a rehearsal, as the page has their types."""
    folder = copy_files(tmp_path / "work")
    found = re.findall(
        r"^\| `(\w+)` \| `(map|string|number|object)\b", tables.PAGE.read_text().partition("outputs: begin")[2], re.M
    )
    types = {"map": ["map", "string"], "object": ["object", {"region": "string"}]}
    given = {"values": {"outputs": {name: {"type": types.get(kind, kind)} for name, kind in found}}}
    for scenario in outputs.SCENARIOS:
        place = scenarios.place(folder, scenario)
        place.mkdir(parents=True)
        (place / "state.json").write_text(json.dumps(given))
    yield folder


def test_an_outdated_table_of_outputs_is_found(rehearsed: Path) -> None:
    Mutant("outputs.tf", "Names of the buckets", "The buckets", "").written(rehearsed / "changed")
    (rehearsed / "outputs.tf").write_text((rehearsed / "changed" / "outputs.tf").read_text())
    found = list(outputs.check(rehearsed, tables.PAGE.read_text()))

    assert "write it again with `python -m infra.check.outputs`" in found[0]
    assert any(line.startswith("- | `buckets` | `map(string)` | Names") for line in found)
    assert any(line.startswith("+ | `buckets` | `map(string)` | The buckets") for line in found)
    # The type of an object is written with its fields.
    assert any(line.startswith("+ | `deployed` | `object({ region = string })` |") for line in found)
    assert not any("`topics`" in line for line in found)
