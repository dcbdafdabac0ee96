"""The plan: instance sizes of Cloud Run, and the cheapest delivery that meets the target."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from client.gcp import UsageError
from client.plan.cost import KEPT_DAYS, RETAINED_DAYS
from client.plan.performance import DELIVERIES, Measured, Worker
from client.plan.planner import plan
from client.plan.prices import Prices
from client.plan.sizing import CPUS, DEADLINES, LEASE_S, sized
from client.plan.workload import Workload, usual_peak
from functions.gcp import streaming_pull
from infra.check.toolchain import INFRA

PRICES = Prices.read()
QUICK = Measured(500, 0.6, 110)


def worker(measured: Measured) -> Worker:
    return Worker("litert", {delivery: measured for delivery in DELIVERIES})


def load(images: float, latency_s: float = 10, peak: float = 0) -> Workload:
    return Workload(images, peak or usual_peak(images), 24, 750, "message", latency_s)


@settings(max_examples=200)
@given(
    images=st.floats(1, 1e9),
    latency_s=st.floats(0.01, 3600),
    measured=st.builds(Measured, st.floats(1, 5000), st.floats(0.05, 60), st.floats(20, 3000)),
)
def test_every_instance_size_exists_in_cloud_run(images: float, latency_s: float, measured: Measured) -> None:
    for delivery in DELIVERIES:
        wanted = load(images, latency_s)
        size = sized(wanted, measured, delivery, PRICES.behaviour)
        assert size.cpu in CPUS and size.memory_mib <= CPUS[size.cpu] * 1024
        assert size.memory_mib >= 512 * size.cpu and size.memory_mib * 2**20 > measured.memory_mb * 1e6
        assert 8 <= size.concurrency <= 1000
        assert 0 <= size.min_instances <= size.needed <= size.max_instances
        served = size.needed * size.per_s
        assert served >= (wanted.peak_per_s / 0.6 if delivery == "push" else wanted.mean_per_s / 0.8) * 0.999
        if size.deadlines:
            assert size.deadlines in DEADLINES and size.deadlines[0] < size.deadlines[1]


def test_large_images_are_not_all_held_at_once() -> None:
    large = Workload(1e6, 100, 24, 10_000_000, "message", 10)
    size = sized(large, QUICK, "push", PRICES.behaviour)
    assert size.concurrency * 4 * large.image_bytes <= 500_000_000
    assert size.memory_mib == 1024  # 1.25 times 110 + 200 + 480 MB, in MiB, and the next size up


def test_a_worker_that_fits_no_instance_is_refused() -> None:
    with pytest.raises(
        UsageError, match="memory of the worker is 40,000 MB; Cloud Run has instances of at most 32 GiB"
    ):
        sized(load(10), Measured(10, 5, 40_000), "push", PRICES.behaviour)


def test_a_few_images_go_by_push_which_scales_to_zero() -> None:
    chosen = plan(load(10_000), worker(QUICK), PRICES)
    assert chosen.option.size.delivery == "push" and chosen.option.size.min_instances == 0 and chosen.met
    assert "would cost" in chosen.reason
    assert chosen.option.cost < chosen.others[0].cost


def test_a_constant_high_load_goes_by_pull() -> None:
    chosen = plan(load(1e9), worker(QUICK), PRICES)
    assert chosen.option.size.delivery == "pull" and chosen.met


def test_a_short_latency_target_keeps_an_instance_warm_and_costs_more() -> None:
    patient, hasty = (plan(load(500, target), worker(QUICK), PRICES, ("push",)) for target in (10, 0.5))
    assert patient.option.size.min_instances == 0 and hasty.option.size.min_instances == 1
    assert hasty.met and hasty.option.latency_s <= 0.5 < patient.option.latency_s
    assert hasty.option.cost > patient.option.cost


def test_a_target_that_no_option_meets_is_reported() -> None:
    chosen = plan(load(10_000, 0.1), worker(QUICK), PRICES)  # there and back through Pub/Sub take 0.2 s
    assert not chosen.met and chosen.option.latency_s > 0.1
    assert chosen.option.latency_s == min(way.latency_s for way in (chosen.option, *chosen.others))


def test_slow_images_get_the_long_deadlines_and_slower_ones_are_pulled() -> None:
    assert sized(load(10), Measured(0.2, 5, 500), "push", PRICES.behaviour).deadlines == (590, 600)
    slow = worker(Measured(0.01, 5, 500))  # 100 s an image
    assert sized(load(10), slow.deliveries["push"], "push", PRICES.behaviour).deadlines is None
    assert plan(load(10, 86_400), slow, PRICES).option.size.delivery == "pull"
    with pytest.raises(UsageError, match="too long for a push"):
        plan(load(10), slow, PRICES, ("push",))


def test_a_patient_burst_needs_a_smaller_pool() -> None:
    hasty, patient = (sized(load(1e8, target), QUICK, "pull", PRICES.behaviour).needed for target in (1, 3600))
    assert patient < hasty


def test_the_constants_are_those_of_the_deployment() -> None:
    topology = yaml.safe_load((INFRA / "topology.yaml").read_text())
    pushed = [each for each in topology["subscriptions"].values() if each["delivery"] == "worker"]
    assert {each["ack_deadline_seconds"] for each in pushed} == {DEADLINES[0][1]}
    assert {topology["topics"][name]["retention"] for name in ("req_predict", "res_predict")} == {
        f"{RETAINED_DAYS * 86400}s"
    }
    buckets = topology["buckets"]
    assert KEPT_DAYS["reference"] == buckets["payloads"]["delete_after_days"] + 7
    assert KEPT_DAYS["upload"] == buckets["uploads"]["delete_after_days"] + 7
    assert streaming_pull.LEASE_S == LEASE_S
