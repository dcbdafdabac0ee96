"""Price and measurement files of a plan: shipped ones name their sources, invalid ones are refused clearly."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from client.gcp import UsageError
from client.plan.measurements import SMALL_BYTES, UNITS, read, shipped
from client.plan.performance import workers
from client.plan.prices import SHIPPED, Prices

SIZES = (SMALL_BYTES, SMALL_BYTES + 1)


def test_every_price_has_a_date_and_a_source() -> None:
    for name, price in Prices.read().price.items():
        assert date.fromisoformat(price.date) <= date.fromisoformat(Prices.read().date), name
        assert price.per and price.source.startswith("cloud.google.com/"), name


@pytest.mark.parametrize("size", SIZES)
def test_every_shipped_measurement_is_on_the_page_it_names(size: int, root: Path) -> None:
    rows = json.loads(shipped(size).read_text())
    assert len(rows) == len(UNITS) * 2 * 2
    for row in rows:
        page = (root / row["source"].split(":")[0]).read_text()
        assert f"| {row['value']:,g} |" in page, row["name"]


@pytest.mark.parametrize("size", SIZES)
def test_our_worker_is_listed_first_and_needs_less(size: int) -> None:
    ours, tensorflow = workers(read([shipped(size)]))
    assert (ours.engine, tensorflow.engine) == ("litert", "savedmodel")
    for delivery in ours.deliveries:
        assert ours.deliveries[delivery].memory_mb < tensorflow.deliveries[delivery].memory_mb
        assert ours.deliveries[delivery].cold_start_s < tensorflow.deliveries[delivery].cold_start_s


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ("usd = 0.000024", "usd = -1", "price.run_cpu.usd in .* is -1; it must be a number from 0 up"),
        ("usd = 0.000024", 'usd = "cheap"', "price.run_cpu.usd in .* is 'cheap'; it must be a number"),
        ("usd = 0.000024", "usd = nan", "price.run_cpu.usd in .* is nan"),
        ("usd = 0.000024\n", "", "price.run_cpu.usd in .* is missing"),
        ("[price.run_cpu]", "[price.other]", "price.run_cpu.usd in .* is missing"),
        ("value = 0.6", "value = 0", "behaviour.utilisation.value in .* is 0; it must be above 0"),
        ("value = 3", "value = 0", "behaviour.push_window.value in .* is 0; it must be from 1 up"),
        ("value = 0.6", "value =", "is no TOML file"),
    ],
)
def test_an_invalid_price_list_is_refused(before: str, after: str, sentence: str, tmp_path: Path) -> None:
    text = SHIPPED.read_text()
    assert before in text
    (tmp_path / "mine.toml").write_text(text.replace(before, after, 1))
    with pytest.raises(UsageError, match=sentence):
        Prices.read(tmp_path / "mine.toml")


ROW = {"name": "throughput.push.litert", "value": 500, "unit": "images/s", "machine": {"cpus": 2}}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "is no JSON file"),
        ({"when": "today"}, "holds no list of rows"),
        ([ROW | {"value": 0}], r"value of throughput.push.litert in .* is 0; it must be a number above 0"),
        ([ROW | {"value": "much"}], "is 'much'; it must be a number above 0"),
        ([ROW | {"unit": "images/min"}], "unit of throughput.push.litert in .* is 'images/min'; it must be 'images/s'"),
        ([ROW | {"machine": "a large one"}], "machine.cpus of throughput.push.litert in .* is None; it must be 1 to"),
        ([ROW], "no rows named cold_start.push.litert, memory.push.litert, throughput.pull.litert"),
        ([ROW | {"name": "throughput.push.savedmodel"}, ROW], "memory.pull.savedmodel"),
    ],
)
def test_invalid_measurements_are_refused(content: Any, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(UsageError, match=sentence):
        workers(read([path]))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot be read from .*: No such file"):
        read([tmp_path / "none.json"])
    with pytest.raises(UsageError, match=r"cannot be read from .*: Is a directory"):
        Prices.read(tmp_path)


def test_measurements_may_be_in_several_files_with_other_rows(tmp_path: Path) -> None:
    rows = [
        ROW | {"name": f"{what}.{delivery}.litert", "unit": unit}
        for what, unit in UNITS.items()
        for delivery in ("push", "pull")
    ]
    (tmp_path / "a.json").write_text(json.dumps({"when": "today", "rows": [*rows[:3], {"name": "decoding"}, {}]}))
    (tmp_path / "b.json").write_text(json.dumps(rows[3:]))
    (worker,) = workers(read([tmp_path / "a.json", tmp_path / "b.json"]))  # TensorFlow's may be absent
    assert worker.deliveries["push"].per_s == 250  # of one CPU
