"""The costs of a plan: lines worked out by hand, and more load never costs less."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.gcp import UsageError
from client.plan.cost import Line, monthly, total
from client.plan.measurements import read, shipped
from client.plan.performance import Delivery, workers
from client.plan.planner import plan
from client.plan.prices import Prices
from client.plan.scaling import EVERY_MINUTES, scaling
from client.plan.sizing import Size, sized
from client.plan.workload import Carrier, Workload, usual_peak

PRICES = Prices.read()
MILLION = Workload(1e6, 100, 24, 750, "message", 10)  # 750 and 250 bytes: the 1,000 that are billed at least
PUSH = Size("push", 1, 512, 8, 1, 0, 2, (55, 60), 500, 0.05, 2)
PULL = replace(PUSH, delivery="pull", min_instances=1, max_instances=1)


def bill(load: Workload, size: Size) -> dict[str, Line]:
    return {line.name: line for line in monthly(load, size, PRICES)}


def test_costs_per_image() -> None:
    lines = bill(MILLION, PUSH)
    assert lines["Cloud Run requests"].gross == pytest.approx(30 * 0.40)
    assert lines["Cloud Run requests"].free == pytest.approx(2 * 0.40)
    # Two topics, each published to and delivered from: 4 x 1,000 bytes.
    assert lines["Pub/Sub throughput"].gross == pytest.approx(30e6 * 4000 / 2**40 * 40)
    assert lines["Pub/Sub throughput"].free == pytest.approx(10 / 1024 * 40)
    assert lines["Pub/Sub, kept for replay"].gross == pytest.approx(1e6 * (1000 + 900) / 2**30 * 0.27)
    assert lines["Logging"].gross == pytest.approx(30e6 * 2000 / 2**30 * 0.50)
    assert lines["Egress (all in one region)"].gross == 0
    assert total(list(lines.values())) == pytest.approx(sum(line.gross - line.free for line in lines.values()))


def test_gathered_images_share_a_request_and_the_smallest_message() -> None:
    alone, together = bill(MILLION, PUSH), bill(replace(MILLION, gather=32), PUSH)
    assert together["Cloud Run requests"].gross == pytest.approx(alone["Cloud Run requests"].gross / 32)
    # 750 bytes are 1,000 in base64, and 120 around them; 250 bytes of attributes are shared.
    request = (32 * 1120 + 250) / 32
    assert together["Pub/Sub throughput"].gross == pytest.approx(30e6 * 2 * (request + 1000) / 2**40 * 40)
    assert together["Logging"].gross == pytest.approx(30e6 * (1000 + 1000 / 32) / 2**30 * 0.50)
    assert together["Cloud Run CPU"].gross < alone["Cloud Run CPU"].gross
    references = replace(MILLION, carrier="reference")
    saved = bill(references, PULL)["Pub/Sub throughput"].gross
    assert bill(replace(references, gather=256), PULL)["Pub/Sub throughput"].gross < 0.6 * saved
    assert replace(MILLION, image_bytes=400_000, gather=32).images_per_message == 1, "a message has 1 MB"
    with pytest.raises(UsageError, match="--gather is 2; each upload has a notification of its own"):
        replace(MILLION, carrier="upload", gather=2)


def test_a_pool_is_paid_day_and_night() -> None:
    lines = bill(MILLION, PULL)
    assert lines["Cloud Run CPU"].gross == pytest.approx(2_592_000 * 0.000018)
    assert lines["Cloud Run CPU"].free == pytest.approx(240_000 * 0.000018)
    assert lines["Cloud Run memory"].gross == pytest.approx(2_592_000 / 2 * 0.000002)
    assert "Cloud Run requests" not in lines
    assert lines["Logging"].gross == pytest.approx(
        30e6 * 1000 / 2**30 * 0.50
    )  # no request, no entry of Cloud Run's own


def test_a_pool_that_follows_its_backlog_pays_for_its_decisions() -> None:
    lines = {line.name: line for line in scaling(PRICES)}
    # 8,640 runs of at least a minute, and one schedule of three that are free.
    assert lines["job_cpu"].gross == pytest.approx(8640 * 60 * 0.000018) and lines["job_cpu"].free == 0
    assert lines["job_memory"].gross == pytest.approx(8640 * 60 / 2 * 0.000002)
    assert lines["scheduler_job"].gross == lines["scheduler_job"].free == pytest.approx(0.10)
    assert total(scaling(PRICES, 1)) == pytest.approx(5 * total(scaling(PRICES)))


def test_the_price_of_decisions_is_that_of_terraforms_job(root: Path) -> None:
    files = "".join((root / "infra" / name).read_text() for name in ("scale.tf", "README.md"))
    assert f"every_minutes    = {EVERY_MINUTES} " in files
    assert 'limits = { cpu = "1", memory = "512Mi" }' in files
    costs = [f"${total(scaling(PRICES, every)):.2f}" for every in (EVERY_MINUTES, 1)]
    assert f"`scale` adds {costs[0]} a month" in files and f"{costs[1]} with a decision every minute" in files


def test_push_is_paid_while_a_request_is_in_flight_or_an_instance_starts() -> None:
    load = Workload(864_000, 10, 1, 750, "message", 10)  # ten a second, all day
    lines = bill(load, PUSH)
    # 1 - 1/e of the time, since each request is billed for a tenth of a second; and one start of 2 s a day.
    assert lines["Cloud Run CPU"].gross == pytest.approx((2_592_000 * 0.6321206 + 30 * 2) * 0.000024)
    assert lines["Cloud Run, kept warm"].gross == 0
    warm = bill(replace(load, peak_per_s=20, bursts_per_day=2), replace(PUSH, min_instances=1))
    assert warm["Cloud Run, kept warm"].gross == pytest.approx(2_592_000 / 2 * (0.0000025 + 0.5 * 0.0000025))


@pytest.mark.parametrize(("carrier", "reads", "days"), [("reference", 1, 15), ("upload", 2, 37)])
def test_a_bucket_is_billed_for_operations_and_storage(carrier: Carrier, reads: int, days: int) -> None:
    lines = bill(replace(MILLION, carrier=carrier, image_bytes=1_000_000), PUSH)
    assert lines["Storage operations"].gross == pytest.approx(30 * (5.00 + reads * 0.40))
    assert lines["Storage, images kept"].gross == pytest.approx(days * 1e12 / 2**30 * 0.02)


def test_bigquery_is_paid_where_it_is_requested() -> None:
    assert "BigQuery, written" not in bill(MILLION, PUSH)
    rows = 30e6 * 1000
    assert bill(replace(MILLION, bigquery=True), PUSH)["BigQuery, written"].gross == pytest.approx(rows / 2**40 * 50)


def test_the_response_store_costs_one_write_for_each_image() -> None:
    assert "Storage operations" not in bill(MILLION, PUSH)
    lines = bill(replace(MILLION, response_store=True), PUSH)
    assert lines["Storage operations"].gross == pytest.approx(30 * 5.00)
    assert lines["Storage, responses kept"].gross == pytest.approx(15 * 1e6 * 900 / 2**30 * 0.02)
    uploaded = replace(MILLION, response_store=True, carrier="upload")
    assert bill(uploaded, PUSH)["Storage operations"].gross == pytest.approx(30 * (10.00 + 2 * 0.40))


@pytest.mark.parametrize(("labels", "series"), [(0, 0), (10, 20), (1000, 2000)])
def test_scores_are_paid_by_label_and_minute(labels: int, series: int) -> None:
    load = replace(MILLION, images_per_day=1e9, peak_per_s=1e9 / 86_400, bursts_per_day=1, labels=labels)
    each_minute = 30 * 24 * 60  # so many images that each label occurs in each minute
    metrics = bill(load, PUSH)["Monitoring, metrics"]
    assert metrics.gross == pytest.approx(each_minute * (80 * (4 + series) + 8) / 2**20 * 0.258)
    assert metrics.free == pytest.approx(min(metrics.gross, 150 * 0.258))


def test_scores_are_paid_at_most_once_for_each_image() -> None:
    few = replace(MILLION, images_per_day=24, peak_per_s=1, labels=100_000)
    with_scores, without = (bill(replace(few, labels=n), PUSH)["Monitoring, metrics"].gross for n in (100_000, 0))
    assert with_scores - without == pytest.approx(30 * 24 * 2 * 80 / 2**20 * 0.258, rel=1e-4)
    assert bill(replace(few, carrier="upload", labels=0), PUSH)["Monitoring, metrics"].gross > without


def test_alerts_are_paid_by_condition_and_by_value() -> None:
    alerts = bill(MILLION, PUSH)["Monitoring, alerts"]
    assert alerts.gross == pytest.approx(6 * 0.10 + 12 * 43_200 * 0.35 / 1e6) and alerts.free == 0
    without = bill(replace(MILLION, labels=0), PUSH)["Monitoring, alerts"]
    assert alerts.gross - without.gross == pytest.approx(0.10)


@settings(max_examples=200)
@given(
    images=st.floats(1000, 1e9),
    more=st.floats(1, 100),
    size=st.integers(1, 9_000_000),
    delivery=st.sampled_from(("push", "pull")),
    labels=st.sampled_from((0, 10, 1000)),
)
def test_more_images_never_cost_less(images: float, more: float, size: int, delivery: Delivery, labels: int) -> None:
    (worker, _) = workers(read([shipped(size)]))
    costs = []
    for each in (images, min(1e9, images * more)):
        load = Workload(each, usual_peak(each), 24, size, "message", 10, labels=labels)
        lines = monthly(load, sized(load, worker.deliveries[delivery], delivery, PRICES.behaviour), PRICES)
        costs.append(total(lines))
    assert costs[0] <= costs[1] * (1 + 1e-9)


def test_more_images_never_cost_less_whatever_delivery_is_taken() -> None:
    (worker, _) = workers(read([shipped(750)]))
    costs = []
    for images in (1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9):
        load = Workload(images, usual_peak(images), 24, 750, "message", 10)
        costs.append(plan(load, worker, PRICES).option.cost)
    assert costs == sorted(costs)
