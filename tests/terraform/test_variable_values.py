"""Values that an apply would refuse are refused by the plan, which names variable, value and what is allowed."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from client.plan.sizing import CPUS
from functions.messages.contract import MAX_LINES
from infra.check.scenarios import EXAMPLE
from infra.check.terraform import Terraform
from infra.check.toolchain import INFRA

_VARIABLE = re.compile(r'^variable "\w+" \{\n.*?^\}\n', re.M | re.S)
_LOCALS = re.compile(r"^locals \{\n.*?^\}\n", re.M | re.S)

# The files whose local values the validations use.
WITH_LOCALS = {
    "alerts",
    "existing",
    "iam",
    "topology",
    "variables",
    "sizes",
    "nightly",
    "scale",
    "retrain",
    "page",
    "kafka",
}

ANA = "user:ana@example.com"
OF_MEMBERS = ("clients", "analysts", "endpoint_callers", "model_publishers")
L4 = {"gpu": "nvidia-l4", "cpu": "4", "memory": "16Gi"}
RTX = {"gpu": "nvidia-rtx-pro-6000", "cpu": "20", "memory": "80Gi"}


def nightly(**given: Any) -> dict[str, str]:
    return {"nightly": json.dumps({"bucket": "photos"} | given)}


def retrain(**given: Any) -> dict[str, str]:
    return {
        "retrain": json.dumps({"image": "europe-docker.pkg.dev/p/images/train@sha256:0", "bucket": "photos"} | given)
    }


def scale(**given: float | None) -> dict[str, str]:
    return {"compute": "worker", "scale": json.dumps({"max": 10, "rate": 20} | given)}


def kafka(**given: str | None) -> dict[str, str]:
    return {"compute": "kafka", "kafka": json.dumps({"bootstrap": "kafka.example.com:9092"} | given)}


def managed_kafka(**given: float) -> dict[str, str]:
    subnetwork = "projects/p/regions/europe-west1/subnetworks/s"
    return {"compute": "kafka", "managed_kafka": json.dumps(given), "subnetwork": subnetwork}


def page(image: str = "host.example/images/page", **given: Any) -> dict[str, str]:
    return {"page": json.dumps(given)} | ({"page_image": image} if image else {})


def alerts(**given: Any) -> dict[str, str]:
    return {"alerts": json.dumps(given)}


def models(*names: str | None) -> dict[str, str]:
    return {"models": json.dumps(names)}


def settings(name: str, value: str | None = "x") -> dict[str, str]:
    return {"settings": json.dumps({name: value})}


def overrides(**given: str | float | None) -> dict[str, str]:
    return {"topology_overrides": json.dumps(given)}


def existing(kind: str, name: str, id_: str) -> dict[str, str]:
    return {"existing": json.dumps({kind: {name: id_}})}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The variables without the resources, so that a plan takes a fraction of a second."""
    folder = tmp_path_factory.mktemp("variables")
    shutil.copy(INFRA / "topology.yaml", folder)
    for file in INFRA.glob("*.tf"):
        text = file.read_text()
        known = [block for block in _LOCALS.findall(text) if "google_" not in block and file.stem in WITH_LOCALS]
        (folder / file.name).write_text("\n".join(_VARIABLE.findall(text) + known))
    return folder


def findings(terraform: Terraform, folder: Path, given: dict[str, str]) -> list[str]:
    """What a plan says of the values: the messages of the validations."""
    words = [f"-var={name}={value}" for name, value in (EXAMPLE | given).items()]
    lines = terraform(folder, "plan", "-input=false", "-json", *words).output.splitlines()
    said = [json.loads(line) for line in lines if line.startswith("{")]
    assert said
    return [finding(each["diagnostic"]) for each in said if each["type"] == "diagnostic"]


def finding(diagnostic: dict[str, Any]) -> str:
    assert diagnostic["summary"] == "Invalid value for variable", diagnostic
    return str(diagnostic["detail"].split("\n\nThis was checked")[0])


ACCEPTED: list[dict[str, str]] = [
    *({"cpu": cpu, "memory": memory} for cpu in ("1", "2") for memory in ("512Mi", "1Gi", "4Gi", "1536Mi")),
    *({"cpu": "2", "memory": memory} for memory in ("8Gi", "8192Mi")),
    *({"cpu": "4", "memory": memory} for memory in ("2Gi", "16Gi")),
    *({"cpu": "6", "memory": memory} for memory in ("4Gi", "24Gi")),
    *({"cpu": "8", "memory": memory} for memory in ("4Gi", "32Gi")),
    L4,
    L4 | {"memory": "16384Mi"},
    L4 | {"cpu": "8", "memory": "32Gi"},
    L4 | {"compute": "worker"},
    L4 | kafka(),
    kafka(bootstrap="a:9092,b-1.example.com:9093", config_secret="projects/p/secrets/s_1"),
    kafka(config_secret=""),
    managed_kafka(vcpus=6, memory_gib=48, partitions=1),
    RTX,
    RTX | {"cpu": "24", "memory": "160Gi"},
    {"min_instances": "0", "max_instances": "1"},
    {"min_instances": "3", "max_instances": "3"},
    {"ack_deadline_seconds": "10", "timeout_seconds": "9"},
    {"ack_deadline_seconds": "600", "timeout_seconds": "599"},
    {"concurrency": "1000"},
    {"instances": "0"},
    {"bigquery_days": "1"},
    models("a", "b.c-d_2@live_1", f"{'a' * 63}@{'b' * 63}"),
    models("fashion-mnist@stable") | {"model_publishers": json.dumps({"me": ANA})},
    {"labels": '{env = "prod", "cost-center" = "a_1", empty = "", größe = "groß"}'},
    {"labels": json.dumps({"a" * 63: "b" * 63})},
    settings("MAX_BATCH_SIZE", "4"),
    settings("_own_1"),
    settings("LOG_LEVEL", "DEBUG"),
    settings("PORTS"),
    nightly(),
    scale(),
    scale(min=None, drain_minutes=None, cooldown_minutes=None, every_minutes=None),
    scale(min=10, rate=0.01, drain_minutes=1, cooldown_minutes=720, every_minutes=1),
    nightly(prefix="2026/"),
    retrain(),
    retrain(prefix="a/b", models="clothing,shoes", hours="80", cpu="8", memory="32Gi", margin="0"),
    retrain(prefix=None, hours=None, cpu=None, memory=None, margin=None, model=None, backbone=None, models=None),
    retrain(model="clothing", backbone="MobileNetV2", train_schedule="0 3 1 * *", time_zone="Europe/Berlin"),
    retrain() | {"training_requesters": json.dumps({"ana": ANA})},
    page(members={"ana": ANA, "team": "group:team@example.com", "company": "domain:example.com"}),
    nightly(prefix=None, hours=None, gather=None, schedule=None, time_zone=None),
    nightly(gather=str(MAX_LINES)),
    alerts(),
    alerts(emails=None, backlog_seconds=None, error_ratio=None, score_drop=None, endpoint_seconds=None),
    alerts(emails=["a@example.com"], backlog_seconds=1, error_ratio=0.99, score_drop=0.01, endpoint_seconds=0.5),
    {"prefix": "a" * 10, "http_endpoint": "internal"},
    {"prefix": "a" * 11},
    {"alerts": json.dumps({"emails": [f"a{number}@example.com" for number in range(16)]})},
    *({"image": f"host.example:5000/a/b_c{version}"} for version in ("", ":v1.2_3", "@sha256:0f3a", ":V1@sha256:0f3a")),
    *(
        overrides(**{path: value})
        for path, values in (
            ("topics.req_predict.retention", ("600s", "2678400s", None)),
            ("subscriptions.dead_predict-sub.retention", ("600s", "2678400s")),
            ("subscriptions.req_predict-sub.retry.minimum_backoff", ("0s", "600s")),
            ("subscriptions.req_predict-sub.dead_letter.max_delivery_attempts", (5, 100, "5")),
            ("buckets.uploads.delete_after_days", (1, 36500)),
        )
        for value in values
    ),
    existing("topics", "req_predict", "projects/example.com:shop/topics/images"),
    existing("buckets", "uploads", "images.example.com"),
    existing("datasets", "predictions", "projects/shop/datasets/shop"),
    existing("service_accounts", "nightly", "projects/shop/serviceAccounts/a@shop.iam.gserviceaccount.com"),
    *({name: '{me = "user:me@example.com"}'} for name in OF_MEMBERS),
    {"kms_key": '{id = "projects/p/locations/europe-west1/keyRings/r/cryptoKeys/k"}'},
    *(
        nightly(schedule=schedule)
        for schedule in ("*/15 * * * *", "0 0 1 1 0", "59 23 31 12 7", "0 3,15 * * mon-FRI", "0-30/5 2-4 1,15 JAN *")
    ),
    *(nightly(time_zone=zone) for zone in ("UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+1")),
]

# Each with parts of the message: the value, and what is allowed.
REFUSED: list[tuple[dict[str, str], str, list[str]]] = [
    *(
        ({"cpu": cpu, "memory": memory}, "memory", [f"is {memory}", f"with {cpu} vCPUs", allowed])
        for cpu, memory, allowed in (
            ("1", "511Mi", "from 512Mi to 4096Mi"),
            ("1", "4097Mi", "from 512Mi to 4096Mi"),
            ("1", "8Gi", "from 512Mi to 4096Mi"),
            ("2", "256Mi", "from 512Mi to 8192Mi"),
            ("2", "16Gi", "from 512Mi to 8192Mi"),
            ("4", "1Gi", "from 2048Mi to 16384Mi"),
            ("4", "17Gi", "from 2048Mi to 16384Mi"),
            ("6", "2Gi", "from 4096Mi to 24576Mi"),
            ("6", "25Gi", "from 4096Mi to 24576Mi"),
            ("8", "2Gi", "from 4096Mi to 32768Mi"),
            ("8", "64Gi", "from 4096Mi to 32768Mi"),
        )
    ),
    *(({"memory": memory}, "memory", [f"is {memory}", "Mi or Gi"]) for memory in ("1024", "0Gi", "1.5Gi", "1GB", "")),
    *(({"cpu": cpu}, "cpu", [f"is {cpu};", "one of 1, 2, 4, 6, 8"]) for cpu in ("0", "0.5", "3", "20", "1.5")),
    *((L4 | {"cpu": cpu}, "cpu", [f"is {cpu};", "gpu nvidia-l4", "one of 4, 6, 8"]) for cpu in ("2", "5", "20")),
    *((RTX | {"cpu": cpu}, "cpu", [f"is {cpu};", "whole number of at least 20"]) for cpu in ("8", "19", "20.5")),
    (L4 | {"memory": "15Gi"}, "memory", ["is 15Gi", "4 vCPUs and gpu nvidia-l4", "from 16384Mi to 16384Mi"]),
    (L4 | {"cpu": "8", "memory": "33Gi"}, "memory", ["is 33Gi", "from 16384Mi to 32768Mi"]),
    (RTX | {"memory": "79Gi"}, "memory", ["is 79Gi", "gpu nvidia-rtx-pro-6000", "from 81920Mi"]),
    *(
        ({"gpu": gpu}, "gpu", [f"is {gpu}", "nvidia-l4 or nvidia-rtx-pro-6000"])
        for gpu in ("l4", "NVIDIA-L4", "nvidia-t4")
    ),
    (
        L4 | {"compute": "function", "function_source": "topology.yaml"},
        "gpu",
        ["nvidia-l4", "push, worker or kafka"],
    ),
    *(
        ({name: value}, name, [f"is {value}", "whole number", allowed])
        for name, values, allowed in (
            ("min_instances", ("0.5", "-1", "11"), "from 0 to max_instances, which is 10"),
            ("max_instances", ("1.5", "0"), "at least 1"),
            ("instances", ("0.5", "-1"), "at least 0"),
            ("concurrency", ("0", "1001", "8.5"), "from 1 to 1000"),
            ("ack_deadline_seconds", ("30.5", "9", "601"), "from 10 to 600"),
            ("timeout_seconds", ("0", "54.5", "60"), "below the ack deadline"),
            ("bigquery_days", ("0", "1.5"), "at least 1"),
        )
        for value in values
    ),
    *(
        ({"labels": json.dumps({key: value})}, "labels", [f"{key}={value}", "at most 63", "digits, _ and -"])
        for key, value in (("Env", "prod"), ("env", "Prod"), ("1st", "x"), ("a b", "x"), ("a", "x.y"), ("a" * 64, "x"))
    ),
    ({"labels": json.dumps({"a": "b" * 64})}, "labels", ["b" * 64, "at most 63"]),
    ({"labels": json.dumps({f"a{number}": "x" for number in range(65)})}, "labels", ["65 labels", "at most 64"]),
    *((settings(name), "settings", [f'"{name}"', "digits and _"]) for name in ("my var", "1A", "", "A=B", "a-b")),
    *(
        (settings(name), "settings", [name, f"set by {variable}"])
        for name, variable in (
            ("ARTIFACT", "artifact_prefix"),
            ("COMPARISON_TOPIC", "models"),
            ("DEAD_SUBSCRIPTION", "compute"),
            ("DEAD_TOPIC", "prefix"),
            ("GOOGLE_CLOUD_PROJECT", "project_id"),
            ("KAFKA_BOOTSTRAP", "kafka"),
            ("KAFKA_MAX_ATTEMPTS", "topology_overrides"),
            ("KAFKA_OAUTH", "managed_kafka"),
            ("HTTP_ENDPOINT", "http_endpoint"),
            ("MODELS", "models"),
            ("REGISTRY", "models"),
            ("REQUEST_SUBSCRIPTION", "compute"),
            ("RESPONSE_STORE", "response_store"),
            ("RESPONSE_TOPIC", "prefix"),
            ("THREADS", "concurrency"),
        )
    ),
    *(
        (models("good", name), "models", [f"has {name};", "NAME or NAME@ALIAS"])
        for name in (
            *("Clothing", "a b", "a/b", "../a", "a@", "@stable", "a@Stable", "a@3", "a@b@c", "a,b", "gs://b/a"),
            *("a" * 64, f"a@{'b' * 64}"),
        )
    ),
    (models(""), "models", ["has an empty name;", "NAME or NAME@ALIAS"]),
    (models(None), "models", ["has null;", "NAME or NAME@ALIAS"]),
    (models("a@one", "b", "a@two"), "models", ["has a twice", "name each model once"]),
    (
        models("clothing") | {"artifact_prefix": "shoes/3"},
        "models",
        ["models is clothing", "artifact_prefix is shoes/3", "leave one of them out"],
    ),
    *(
        (settings(name), "settings", [f"has {name};", "Google sets this itself"])
        for name in (
            *("PORT", "K_SERVICE", "K_REVISION", "K_CONFIGURATION", "FUNCTION_TARGET", "FUNCTION_SIGNATURE_TYPE"),
            *("CLOUD_RUN_TASK_INDEX", "X_GOOGLE_ANYTHING"),
        )
    ),
    *((settings(name), "settings", [name, "must not be set"]) for name in ("PUSH_AUDIENCE", "PUSH_SERVICE_ACCOUNT")),
    (settings("LOG_LEVEL", "WARNING"), "settings", ["WARNING", "DEBUG or INFO"]),
    *(
        (nightly(schedule=schedule), "nightly", [f"schedule is {schedule}", "as in cron"])
        for schedule in (
            *("at three", "", "0 3 * *", "0 3 * * * *", "60 3 * * *", "0 24 * * *", "0 3 0 * *", "0 3 32 * *"),
            *("0 3 * 13 *", "0 3 * * 8", "0 3 * foo *", "every 24 hours", "0 3 * * mon,", "0 3 */0 * *", "a b c d e"),
        )
    ),
    *(
        (nightly(prefix=prefix), "nightly", [f"prefix is {prefix}", "without gs://"])
        for prefix in ("gs://photos/2026", "/2026")
    ),
    *(
        (nightly(bucket=bucket), "nightly", [f"bucket is {bucket}", "without gs://"])
        for bucket in ("gs://photos", "Photos", "a/b")
    ),
    *(
        (retrain(**{name: value}), "retrain", [f"{name} is {value}", words])
        for name, values, words in (
            ("bucket", ("gs://photos", "a/b"), "without gs://"),
            ("prefix", ("/a", "a/", "a//b", "../b", "gs://b"), "without a slash at its ends"),
            ("image", ("train it", "train"), "with TensorFlow"),
            ("models", ("A", "a b", "a,"), "separated by commas"),
            ("hours", ("0", "81", "many"), "from 1 to 80"),
            ("margin", ("-1", "1.1", "x"), "from 0 to 1"),
            ("cpu", ("3", "16", "x"), "1, 2, 4, 6 or 8"),
            ("memory", ("2Gi", "64Gi", "16", "x"), "from 4Gi to 32Gi"),
            ("time_zone", ("10:00",), "Europe/Berlin"),
        )
        for value in values
    ),
    *(
        (retrain(**{name: "at three", "model": "m", "backbone": "B"}), "retrain", [f"{name} = at three", "as in cron"])
        for name in ("schedule", "train_schedule")
    ),
    (retrain(model="clothing"), "retrain", ["model without backbone"]),
    (retrain(backbone="MobileNet"), "retrain", ["backbone without model"]),
    (retrain(model="C l", backbone="A"), "retrain", ["model is C l"]),
    (retrain(model="c", backbone="A-B"), "retrain", ["backbone is A-B", "catalog"]),
    (retrain(on_drift="maybe"), "retrain", ["on_drift is maybe", "true or false"]),
    (retrain(on_drift="true"), "retrain", ["on_drift is true", "there is no model"]),
    (
        retrain(on_drift="true", model="c", backbone="A") | {"score_metrics": "false"},
        "retrain",
        ["on_drift is true", "score_metrics is false"],
    ),
    (retrain(train_schedule="0 3 * * 1"), "retrain", ["train_schedule is 0 3 * * 1", "there is no model"]),
    ({"training_requesters": json.dumps({"ana": ANA})}, "training_requesters", ["retrain is not"]),
    (
        retrain() | {"training_requesters": json.dumps({"a": "all"})},
        "training_requesters",
        ["a = all", "user:, group:"],
    ),
    (
        retrain() | {"training_requesters": json.dumps({"a": ANA, "b": ANA})},
        "training_requesters",
        [ANA, "a second time"],
    ),
    (scale() | {"compute": "push"}, "scale", ["compute is push", "needs compute worker: the others scale"]),
    (scale() | kafka(), "scale", ["compute is kafka", "needs compute worker: its job reads the backlog of Pub/Sub"]),
    *((scale(max=most), "scale", [f"scale.max is {most}", "from 1 to 1000"]) for most in (0, 1.5, 1001)),
    *((scale(min=least), "scale", [f"scale.min is {least}", "which is 10"]) for least in (-1, 0.5, 11)),
    *((scale(rate=rate), "scale", [f"scale.rate is {rate}", "above 0"]) for rate in (0, -1)),
    # Terraform drops the names that an object type does not have, so these inputs are maps.
    *(
        (option(**{name: 1}), variable, [f"has {name};", "must have only", field])
        for option, variable, name, field in (
            (scale, "scale", "cooldown", "cooldown_minutes"),
            (nightly, "nightly", "hour", "hours"),
            (retrain, "retrain", "hour", "hours"),
            (alerts, "alerts", "email", "emails"),
            (alerts, "alerts", "backlog_second", "backlog_seconds"),
        )
    ),
    *(
        ({"alerts": value}, "alerts", ["has no names;", "only emails"])
        for value in ('["a@example.com"]', '"a@example.com"')
    ),
    (alerts(emails="a@example.com"), "alerts", ["has no list;", "list of addresses"]),
    *(
        (alerts(**{name: value}), "alerts", [f"has {name} = {said};", allowed])
        for name, allowed in (
            ("backlog_seconds", "above 0"),
            ("endpoint_seconds", "above 0"),
            ("error_ratio", "between 0 and 1"),
            ("score_drop", "between 0 and 1"),
        )
        for value, said in ((0, "0"), (-1, "-1"), ("soon", "soon"), ([1], "no number"))
    ),
    (alerts(error_ratio=5), "alerts", ["error_ratio = 5;", "between 0 and 1"]),
    (alerts(score_drop=0.2) | {"score_metrics": "false"}, "alerts", ["score_drop is 0.2", "score_metrics is false"]),
    (nightly(bucket=None), "nightly", ["bucket is null;", "without gs://"]),
    ({"nightly": "{}"}, "nightly", ["bucket is null;", "without gs://"]),
    (nightly(hours="many"), "nightly", ["hours is many;", "above 0"]),
    ({"compute": "worker", "scale": "{rate = 24}"}, "scale", ["scale.max is 0", "from 1 to 1000"]),
    ({"compute": "worker", "scale": "{max = 10}"}, "scale", ["scale.rate is 0", "above 0"]),
    ({"budget": '{billing_account = "012345-6789AB-CDEF01", amount = null}'}, "budget", ["whole amount"]),
    (scale(rate=None), "scale", ["scale.rate is 0", "above 0"]),
    (scale(max=None), "scale", ["scale.max is 0", "from 1 to 1000"]),
    *(
        (scale(**{name: minutes}), "scale", [f"{name} = {minutes}", "from 1 to 720"])
        for name in ("drain_minutes", "cooldown_minutes")
        for minutes in (0, 1.5, 721)
    ),
    *((scale(every_minutes=every), "scale", [f"every_minutes is {every}", "1 to 5"]) for every in (0, 2.5, 6)),
    *((nightly(hours=hours), "nightly", [f"hours is {hours}", "above 0"]) for hours in ("0", "-1")),
    *(
        (nightly(gather=gather), "nightly", [f"gather is {gather};", f"whole number from 1 to {MAX_LINES}."])
        for gather in ("0", "1.5", str(MAX_LINES + 1), "auto")
    ),
    *(
        (nightly(time_zone=zone), "nightly", [f"time_zone is {zone}", "Europe/Berlin"])
        for zone in ("", "+01:00", "Europe/")
    ),
    *(
        (overrides(**{path: value}), "topology_overrides", [f"{path} = {value};", allowed])
        for path, values, allowed in (
            (
                "topics.req_predict.retention",
                ("599s", "2678401s", "1d", "600", "", "-600s", "1e3s", "0600s"),
                "from 600 to 2678400",
            ),
            ("subscriptions.req_predict-sub.retention", ("0s", "99999999999s", "600.5s"), "from 600 to 2678400"),
            (
                "subscriptions.req_predict-sub.retry.maximum_backoff",
                ("601s", "10"),
                "whole seconds, such as 600s, from 0 to 600",
            ),
            (
                "subscriptions.req_predict-sub.dead_letter.max_delivery_attempts",
                (4, 101, "5s", "020"),
                "whole number, from 5 to 100",
            ),
            ("buckets.payloads.delete_after_days", (0, -1, "8d", 1.5, 36501), "whole number, from 1 to 36500"),
        )
        for value in values
    ),
    *(
        (
            overrides(**{path: 9}),
            "topology_overrides",
            [path, f"after {start} it must have" if start else "must begin with", *allowed],
        )
        for path, start, allowed in (
            ("topic.req_predict.retention", "", ["buckets or subscriptions or topics"]),
            ("retention", "", ["buckets or subscriptions or topics"]),
            ("topics.requests.retention", "topics.", ["req_predict or req_train or res_predict"]),
            ("topics.dead_predict.retention", "topics.", ["req_predict or req_train or res_predict"]),
            ("subscriptions.req_predict.retention", "subscriptions.", ["dead_predict-announce", "res_predict-sub"]),
            (
                "subscriptions.res_predict-sub.max_delivery_attempts",
                "subscriptions.res_predict-sub.",
                ["retention", "retry.minimum_backoff"],
            ),
            ("subscriptions.dead_predict-sub.retry.minimum_backoff", "subscriptions.dead_predict-sub.", ["retention"]),
            ("buckets.models.delete_after_days", "buckets.", ["payloads or uploads"]),
            ("buckets.uploads.retention", "buckets.uploads.", ["delete_after_days"]),
        )
    ),
    (
        existing("buckets", "uploads", "images") | overrides(**{"buckets.uploads.delete_after_days": 9}),
        "topology_overrides",
        ["buckets.uploads.delete_after_days", "existing has this resource"],
    ),
    *(
        (existing(kind, name, "x"), "existing", [said, f"must have only {allowed}"])
        for kind, name, said, allowed in (
            ("topic", "req_predict", "has topic;", "buckets, datasets, service_accounts, topics"),
            (
                "topics",
                "requests",
                "has topics.requests;",
                "compare_predict, dead_predict, req_predict, req_train, res_predict",
            ),
            (
                "topics",
                "dead_bigquery",
                "has topics.dead_bigquery;",
                "compare_predict, dead_predict, req_predict, req_train, res_predict",
            ),
            ("buckets", "upload", "has buckets.upload;", "models, payloads, uploads"),
            ("datasets", "responses", "has datasets.responses;", "predictions"),
            (
                "service_accounts",
                "client",
                "has service_accounts.client;",
                "builder, endpoint, invoker, nightly, page, scaler, trainer, worker",
            ),
        )
    ),
    *(
        (existing(kind, name, value), "existing", [f"{kind}.{name} = {value};", f"must be {form}"])
        for kind, name, values, form in (
            (
                "topics",
                "req_predict",
                ("images", "projects/shop/subscriptions/images", "projects/shop/topics/a/b"),
                "projects/P/topics/T",
            ),
            ("buckets", "uploads", ("gs://images", "a/b"), "a bucket's name"),
            ("datasets", "predictions", ("shop.predictions", "predictions"), "projects/P/datasets/D"),
            (
                "service_accounts",
                "worker",
                ("a@shop.iam.gserviceaccount.com", "projects/shop/serviceAccounts/a"),
                "projects/P/serviceAccounts/EMAIL",
            ),
        )
        for value in values
    ),
    (
        {"existing": json.dumps({"topics": dict.fromkeys(("req_predict", "res_predict"), "projects/p/topics/t")})},
        "existing",
        ["same resource twice"],
    ),
    *(
        ({name: json.dumps({"someone": member})}, name, [f"someone = {member};", "user:, group:"])
        for name in OF_MEMBERS
        for member in ("allUsers", "allAuthenticatedUsers", "me@example.com", "user:")
    ),
    ({"kms_key": '{id = "k"}'}, "kms_key", ["id is k;", "projects/P/locations/L"]),
    ({"kms_key": "{id = null}"}, "kms_key", ["id is null;"]),
    ({"project_id": "Some Project"}, "project_id", ["is Some Project", "6 to 30"]),
    ({"region": "europe-west1-b"}, "region", ["is europe-west1-b", "not a zone"]),
    ({"prefix": "dev-"}, "prefix", ["is dev-", "at most 11"]),
    *(({"prefix": prefix}, "prefix", [f"is {prefix}", "begin with goog"]) for prefix in ("goog", "goog1", "mygoogle")),
    (
        {"prefix": "a" * 11, "http_endpoint": "internal"},
        "prefix",
        ["is aaaaaaaaaaa;", "at most 10", "aaaaaaaaaaa-prediction-endpoint"],
    ),
    *(
        (
            {name: json.dumps({"one": ANA, "two": "user:bo@example.com", "three": ANA})},
            name,
            [f"= {ANA}", "second time"],
        )
        for name in OF_MEMBERS
    ),
    (settings("ENGINE", None), "settings", ["ENGINE = null", "leave the name out"]),
    (settings("LOG_LEVEL", None), "settings", ["LOG_LEVEL = null", "leave the name out"]),
    ({"labels": '{"env": null}'}, "labels", ["env=null", "at most 63"]),
    ({"existing": '{"topics": null}'}, "existing", ["topics = null", "leave the kind out"]),
    *(
        ({"image": image}, "image", [f"is {image};", "full name with its registry"])
        for image in (
            *(
                "",
                "null",
                "python:3.11",
                "https://host.example/worker",
                "host.example/my worker",
                "host.example/Worker",
            ),
            *("host.example/worker@sha256:", "host.example/worker:"),
        )
    ),
    *(
        ({"compute": "function", "function_source": path}, "function_source", [f"is {path},", "not a file"])
        for path in (".", "none.zip", "")
    ),
    *(
        (
            {"alerts": json.dumps({"emails": [email]})},
            "alerts",
            [f"has {email or 'null'};", "such as someone@example.com"],
        )
        for email in ("oncall", "a@b", "a b@example.com", None)
    ),
    (
        {"alerts": json.dumps({"emails": [f"a{number}@example.com" for number in range(17)]})},
        "alerts",
        ["17 addresses", "at most 16"],
    ),
    *(
        (page(members={"ana": ANA, "other": member}), "page", [f"other = {member or 'null'};", "must be user:EMAIL"])
        for member in (
            "allUsers",
            "allAuthenticatedUsers",
            "user:ana",
            "domain:ana@example.com",
            "domain:example",
            None,
        )
    ),
    (page(members={"a": ANA, "b": ANA}), "page", [f"a = {ANA} a second time"]),
    (page(members={}), "page", ["members is empty", "leave page out"]),
    (page(members={"ana": ANA}, size={}), "page", ["has members, size; it must have members and nothing else"]),
    (page(), "page", ["has nothing; it must have members"]),
    (page("page:1", members={"ana": ANA}), "page_image", ["is page:1;", "with its registry"]),
    (page("", members={"ana": ANA}), "page_image", ["is missing and page is set", "infra/page.Dockerfile"]),
    ({"page_image": "host.example/images/page"}, "page_image", ["is set and page is not"]),
    ({"compute": "lambda"}, "compute", ["is lambda", "push, worker, function or kafka"]),
    (
        {"compute": "kafka"},
        "kafka",
        ["is missing, managed_kafka is missing, and compute is kafka; with compute kafka set one"],
    ),
    (
        kafka() | {"compute": "push"},
        "kafka",
        ["is set, managed_kafka is missing, and compute is push", "with another compute none"],
    ),
    (
        kafka() | managed_kafka(),
        "kafka",
        ["is set, managed_kafka is set, and compute is kafka; with compute kafka set one"],
    ),
    (kafka(topic="x"), "kafka", ["has topic; it must have only bootstrap and config_secret"]),
    *(
        (kafka(bootstrap=bootstrap), "kafka", [f"bootstrap is {bootstrap or 'null'};", "must be host:port"])
        for bootstrap in ("kafka.example.com", "kafka://kafka.example.com:9092", "a:9092, b:9092", "a:0", None)
    ),
    *(
        (kafka(config_secret=secret), "kafka", [f"config_secret is {secret};", "must be projects/P/secrets/S"])
        for secret in ("librdkafka", "projects/p/secrets/s/versions/3")
    ),
    (managed_kafka(nodes=3), "managed_kafka", ["has nodes; it must have only memory_gib, partitions, vcpus"]),
    (managed_kafka(vcpus=2), "managed_kafka", ["vcpus = 2;", "vcpus at least 3"]),
    (managed_kafka(vcpus=3.5, memory_gib=4), "managed_kafka", ["vcpus = 3.5;", "a whole number"]),
    (managed_kafka(vcpus=6), "managed_kafka", ["memory_gib is 3; with 6 vCPUs it must be from 6 to 48"]),
    (managed_kafka(memory_gib=25), "managed_kafka", ["memory_gib is 25; with 3 vCPUs it must be from 3 to 24"]),
    (managed_kafka(partitions=0), "managed_kafka", ["partitions is 0; it must be from 1 to 1000"]),
    ({"compute": "kafka", "managed_kafka": "{}"}, "managed_kafka", ["subnetwork is not; set subnetwork"]),
    ({"http_endpoint": "open"}, "http_endpoint", ["is open", "off, internal or anywhere"]),
]


def test_the_plan_knows_the_same_limits_of_memory() -> None:
    [table] = re.findall(r"memory_mib_by_cpu = \{(.+)\}", (INFRA / "sizes.tf").read_text())

    assert {int(cpu): int(most) / 1024 for cpu, most in re.findall(r"(\d+) = \[\d+, (\d+)\]", table)} == CPUS


@pytest.mark.parametrize("given", ACCEPTED, ids=str)
def test_a_value_that_google_accepts_is_accepted(given: dict[str, str], terraform: Terraform, folder: Path) -> None:
    assert findings(terraform, folder, given) == []


@pytest.mark.parametrize(("given", "variable", "parts"), REFUSED, ids=str)
def test_a_value_that_google_refuses_is_refused(
    given: dict[str, str], variable: str, parts: list[str], terraform: Terraform, folder: Path
) -> None:
    found = findings(terraform, folder, given)

    [message] = [each for each in found if each.startswith(variable)]
    assert all(part in message for part in parts), message
    assert len(message) <= 300 and "\n" not in message
