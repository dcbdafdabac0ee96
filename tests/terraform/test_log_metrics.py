"""Every field that Cloud Logging counts is in the log lines of a real worker."""

from __future__ import annotations

import json
import re
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytest

from client.__main__ import main
from functions.kafka.message_headers import NOT_BEFORE
from infra.local.twin import Twin
from model.artifact import SHIPPED
from model.registry.registry import Registry
from tests.kafka_broker import KafkaTopics
from tests.kafka_worker import kafka_worker
from tests.log_lines import log_lines
from tests.registry_models import NAME, altered, set_alias
from tests.samples import encoded
from tests.terraform.conftest import ON_KAFKA, Plan, metrics_of
from tests.waiting import until

SAMPLES = [Path("client/samples", name) for name in ("sneaker.jpg", "dress.png", "bag.bmp")]
COMPARISON = re.compile(r'jsonPayload\.([\w.]+)(=|>=|>)("[^"]*"|[\d.]+)')
EXTRACTOR = re.compile(r"EXTRACT\(jsonPayload\.([\w.]+)\)")
HURRIED = """
from functions.kafka import lag
lag.REPORT_S = 0.5
from functions.entrypoints.kafka_worker import end, main
end(main())
"""
"""A Kafka worker that logs its lag more often than once a minute."""

Line = dict[str, Any]
Metrics = dict[str, dict[str, Any]]


@pytest.fixture(scope="module", params=["push", "pull"])
def lines(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, root: Path) -> list[Line]:
    """Log lines of a worker for valid and invalid images from the topic and the bucket.

    Its registry has the shipped model, and an alias that names a broken version since.
    """
    delivery: Literal["push", "pull"] = request.param
    folder = tmp_path_factory.mktemp(delivery)
    (folder / "junk.png").write_bytes(b"no image")
    files = [str(root / sample) for sample in SAMPLES] + [str(folder / "junk.png")]
    registry = Registry.at(str(folder / "models"))
    set_alias(registry, registry.push(SHIPPED).target)
    set_alias(registry, registry.push(altered(folder / "altered", "9")).target)
    twin = Twin(worker=delivery, log_path=folder / "worker.log", registry=registry.address, models=NAME)
    with twin, pytest.MonkeyPatch.context() as patch:
        for name, value in twin.env.items():
            patch.setenv(name, value)
        for command in ("publish", "upload"):
            assert main([command, "--json", *files], {**twin.env}) == 1, "one of them is no image"
        assert until(lambda: sum("outcome" in line for line in log_lines(twin.log_path)) == 2 * len(files))
        return log_lines(twin.log_path)


def field(line: Line, path: str) -> Any:
    """The value at a dotted path, None where there is none."""
    value: Any = line
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def extracted(extractor: str, lines: list[Line]) -> list[Any]:
    path = EXTRACTOR.fullmatch(extractor)
    assert path, f"{extractor}: not of the form that is understood here"
    return [field(line, path[1]) for line in lines]


def counted(metric: dict[str, Any], lines: list[Line]) -> list[Line]:
    """The lines that a metric's filter lets through; whose they must be, Terraform's own tests look at."""
    resource, *comparisons = metric["filter"].split(" AND ")
    assert resource.startswith("(resource.labels.") and comparisons
    return [line for line in lines if all(holds(line, comparison) for comparison in comparisons)]


def holds(line: Line, comparison: str) -> bool:
    parts = COMPARISON.fullmatch(comparison)
    assert parts, f"{comparison}: not of the form that is understood here"
    value, wanted = field(line, parts[1]), json.loads(parts[3])
    if parts[2] == "=":
        return bool(value == wanted)
    return isinstance(value, int | float) and (value > wanted or (parts[2] == ">=" and value == wanted))


def test_every_counted_field_is_in_the_log_lines(metrics: Metrics, lines: list[Line]) -> None:
    every_worker = {name: metric for name, metric in metrics.items() if "-kafka-" not in name}
    assert len(every_worker) in (10, 11)  # with models of a registry, those that are not replaced
    assert_counted(every_worker, lines)


def assert_counted(metrics: Mapping[str, dict[str, Any]], lines: list[Line]) -> None:
    for name, metric in metrics.items():
        found = counted(metric, lines)
        assert found, f"{name} counts nothing"
        for label, extractor in (metric["label_extractors"] or {}).items():
            assert any(isinstance(value, str) for value in extracted(extractor, found)), f"{name}: {label}"
        if metric["value_extractor"]:
            values = extracted(metric["value_extractor"], found)
            assert all(isinstance(value, int | float) for value in values), name


def test_a_field_that_is_never_logged_is_found(metrics: Metrics, lines: list[Line]) -> None:
    (fetch,) = (metric for name, metric in metrics.items() if name.endswith("-ms-fetch"))
    assert len(counted(fetch, lines)) == len(SAMPLES), "those out of the bucket, and none that came with its message"
    renamed = fetch | {"filter": fetch["filter"].replace("fetch", "fetching")}
    assert not counted(renamed, lines)
    assert set(extracted(fetch["value_extractor"].replace("fetch", "fetching"), lines)) == {None}


def test_logged_scores_come_with_a_reference(lines: list[Line]) -> None:
    answered = [line for line in lines if line.get("outcome") == "ok"]
    assert len(answered) == 2 * len(SAMPLES)
    assert all(0 < line["score"] <= 1 and 0.5 < line["expected_score"] < 1 for line in answered)
    assert sum("load_ms" in line for line in lines) == 1, "one process, one cold start"


def test_a_start_is_counted_before_the_model_is_fetched(metrics: Metrics, lines: list[Line]) -> None:
    (starts,) = (metric for name, metric in metrics.items() if name.endswith("-starts"))
    (started,) = counted(starts, lines)
    assert lines.index(started) < min(i for i, line in enumerate(lines) if line["message"] == "loading model")


def test_lag_and_dead_letters_of_kafka_are_in_the_log_lines(plan: Plan, kafka: KafkaTopics, tmp_path: Path) -> None:
    metrics = {name: metric for name, metric in metrics_of(plan(**ON_KAFKA)).items() if "-kafka-" in name}
    assert metrics.keys() == {f"dev-prediction-kafka-{name}" for name in ("lag", "finished", "dead-letters")}
    retries, in_an_hour = f"{kafka.requests}-retry", str(int(1000 * (time.time() + 3600)))
    with kafka_worker(tmp_path / "log", kafka.env, command=[sys.executable, "-c", HURRIED]) as worker:
        kafka.produce([(b"r1", encoded(), []), (None, b"without a key", [])])
        kafka.produce([(b"waits", encoded(), [(NOT_BEFORE, in_an_hour.encode())])], retries)
        assert {each.request_id for each in kafka.answers({"r1"})} == {"r1"}

        def reported() -> dict[str, tuple[int, int]]:
            """By topic: the lag of the last line, and what all lines say was finished."""
            lag, finished = dict[str, int](), Counter[str]()
            for line in counted(metrics["dev-prediction-kafka-lag"], worker.lines()):
                lag[line["topic"]] = line["lag"]
                finished[line["topic"]] += line["finished"]
            return {topic: (lag[topic], finished[topic]) for topic in lag}

        assert until(lambda: reported() == {kafka.requests: (0, 2), retries: (1, 0)}, 60), reported()
        assert_counted(metrics, worker.lines())
        (dead_letter,) = counted(metrics["dev-prediction-kafka-dead-letters"], worker.lines())
        assert dead_letter["reason"] == "the message has no key; it must be the request_id"
        worker.stop()
