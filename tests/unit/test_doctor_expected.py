"""What the doctor expects: topology.yaml, or Terraform's output `topology` with the names of brought topics."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from client.doctor.checks.bigquery import bigquery
from client.doctor.expected import Expected
from client.gcp import Cloud

TOPOLOGY = Path(__file__).parents[2] / "infra" / "topology.yaml"
BUCKETS = {"uploads": "images", "payloads": "payloads"}


def test_names_of_topics_come_from_the_file(tmp_path: Path) -> None:
    content = yaml.safe_load(TOPOLOGY.read_text())
    content["topics"]["res_predict"]["name"] = "projects/shared/topics/labels"
    content["topics"]["dead_predict"] = {"name": "projects/shared/topics/dead"}
    content["subscriptions"]["req_predict-sub"]["dead_letter"]["max_delivery_attempts"] = 7
    file = tmp_path / "topology.json"
    file.write_text(json.dumps(content))

    expected = Expected.read(file, Cloud("shop"), "dev-", BUCKETS)

    assert {topic.name for topic in expected.topics} == {
        "projects/shop/topics/dev-req_predict",
        "projects/shared/topics/labels",
        "projects/shared/topics/dead",
        "projects/shop/topics/dev-compare_predict",
        "projects/shop/topics/dev-req_train",
    }
    by_name = {each.name.rpartition("/")[2]: each for each in expected.subscriptions}
    assert by_name["dev-res_predict-sub"].topic == "projects/shared/topics/labels"
    assert by_name["dev-req_predict-sub"].settings.dead_letters == ("projects/shared/topics/dead", 7)
    writer, _ = bigquery(Cloud("shop"), "dev-", expected.responses).subscriptions
    assert writer.topic == "projects/shared/topics/labels"


def test_without_names_topics_have_the_prefix() -> None:
    expected = Expected.read(TOPOLOGY, Cloud("shop"), "dev-", BUCKETS)

    assert expected.responses == "projects/shop/topics/dev-res_predict"
    assert bigquery(Cloud("shop"), "dev-", expected.responses) == bigquery(Cloud("shop"), "dev-")
