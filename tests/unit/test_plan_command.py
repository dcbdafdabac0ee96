"""`predictions plan` on the command line: tables, JSON, Terraform variables, a plot, and refused arguments."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from client.__main__ import main

WORDS = ["plan", "--images-per-day", "1e6", "--size", "20kB"]


def planned(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert main([*WORDS, *words], {}) == code
    return capsys.readouterr().out


def test_two_workers_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    said = planned(capsys)
    for name in ("push or pull", "instance", "requests at once", "deadlines: request, ack", "Cloud Run CPU", "Logging"):
        assert re.search(rf"^ *{name} +\S.* +\S", said, re.M), name
    for name in ("without free tiers", "free tiers", "to pay", "a million images", "Egress (all in one region)"):
        assert re.search(rf"^ *{re.escape(name)} +-?[\d,]+\.\d\d +-?[\d,]+\.\d\d$", said, re.M), name
    assert "1,000,000 images a day, 20 kB each" in said and "this worker" in said and "with TensorFlow" in said
    assert len(re.findall(r"^  (waiting|latency) \|.+\| at most", said, re.M)) == 4
    assert "not verified among them: run_idle_cpu, run_idle_memory, pool_cpu, pool_memory, bigquery_stored" in said
    assert "prices of 2026-" in said and "measured: docs/benchmarks/" in said
    assert max(map(len, said.splitlines())) <= 120


def test_the_plan_of_a_pool_has_the_cost_of_following_its_backlog(capsys: pytest.CaptureFixture[str]) -> None:
    said = planned(capsys, "--delivery", "pull")
    assert "with scale (infra/README.md) the pool follows its backlog; a decision every 5 minutes costs $9.85" in said
    assert "with scale" not in planned(capsys, "--delivery", "push")


def test_images_larger_than_measured_ones_get_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    assert "your images are larger" not in planned(capsys)
    assert "your images are larger" in planned(capsys, "--size", "2MB")


def test_cost_lines_add_up_to_the_total(capsys: pytest.CaptureFixture[str]) -> None:
    for plan in json.loads(planned(capsys, "--json"))["plans"]:
        assert plan["usd"]["gross"] == pytest.approx(sum(line["gross"] for line in plan["bill"]))
        assert plan["usd"]["to_pay"] == pytest.approx(plan["usd"]["gross"] - plan["usd"]["free"])
        assert plan["usd_per_million"]["to_pay"] == pytest.approx(plan["usd"]["to_pay"] / 30)
        assert plan["burst"]["images"] == plan["burst"]["answered"] > 0
        assert plan["latency_s"]["all"]["p50"] <= plan["latency_s"]["all"]["p95"]


@pytest.mark.parametrize(
    ("gather", "name", "otherwise"), [("1", "32 in a message", 32), ("8", "one in a message", 1)], ids=["one", "eight"]
)
def test_json_has_the_costs_of_both_ways_as_the_text_has(
    gather: str, name: str, otherwise: int, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--size", "600B", "--gather", gather]
    said, report = planned(capsys, *words), json.loads(planned(capsys, *words, "--json"))
    others = [plan["gathered_otherwise"] for plan in report["plans"]]
    for line, found in (("a million images", report["plans"]), (name, others)):
        (row,) = re.findall(rf"^ *{line} +(.+)$", said, re.M)
        assert row.split() == [f"{each['usd_per_million']['gross']:.2f}" for each in found]
    assert report["load"]["images_per_message"] == int(gather)
    assert [each["images_per_message"] for each in others] == [otherwise, otherwise]
    for plan, other in zip(report["plans"], others, strict=True):
        assert (other["usd"]["to_pay"] < plan["usd"]["to_pay"]) == (otherwise > 1)
        assert other["usd"]["to_pay"] == pytest.approx(other["usd"]["gross"] - other["usd"]["free"])
        assert other["usd_per_million"]["to_pay"] == pytest.approx(other["usd"]["to_pay"] / 30)


def test_json_has_one_cost_where_images_cannot_be_gathered(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--carrier", "upload"], ["--size", "900kB"]):
        for plan in json.loads(planned(capsys, "--json", *words))["plans"]:
            assert plan["gathered_otherwise"] is None


def test_labels_and_the_response_store_are_in_the_bill(capsys: pytest.CaptureFixture[str]) -> None:
    def paid(*words: str) -> dict[str, float]:
        return {
            each["name"]: each["gross"] for each in json.loads(planned(capsys, "--json", *words))["plans"][0]["bill"]
        }

    assert paid("--labels", "10") == paid()
    assert paid("--labels", "1000")["Monitoring, metrics"] > 10 * paid()["Monitoring, metrics"]
    assert paid("--labels", "0")["Monitoring, metrics"] < paid()["Monitoring, metrics"]
    assert paid("--response-store")["Storage operations"] == pytest.approx(150)


def test_the_same_arguments_give_the_same_plan(capsys: pytest.CaptureFixture[str]) -> None:
    assert planned(capsys, "--json", "--seed", "3") == planned(capsys, "--json", "--seed", "3")


def test_a_target_that_cannot_be_met_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    said = planned(capsys, "--latency", "0.1", code=1)
    assert "MISSES the target: 95 % within" in said


@pytest.mark.parametrize("delivery", ["push", "pull"])
def test_terraform_variables_are_written(delivery: str, tmp_path: Path, root: Path) -> None:
    path = tmp_path / "plan.tfvars"
    assert main([*WORDS, "--delivery", delivery, "--tfvars", str(path)], {}) == 0
    comment, *lines = path.read_text().splitlines()
    assert comment.startswith("# 1,000,000 images a day")
    if delivery == "pull":
        assert re.fullmatch(r"# to follow .+: scale = \{ max = \d+, rate = [\d.]+ \}", lines.pop(0))
    assert all(re.fullmatch(r"\w+ += \S+", line) for line in lines)
    written = {name: value for name, _, value in map(str.split, lines)}
    assert written["compute"] == ('"push"' if delivery == "push" else '"worker"')
    declared = re.findall(r'^variable "(\w+)"', "".join(file.read_text() for file in root.glob("infra/*.tf")), re.M)
    assert set(written) <= set(declared)
    pushed, pooled = {"concurrency", "min_instances", "max_instances", "timeout_seconds"}, {"instances"}
    assert set(written) >= (pushed if delivery == "push" else pooled)


def test_a_plot_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from PIL import Image

    path = tmp_path / "burst.png"
    assert main([*WORDS, "--plot", str(path)], {}) == 0
    with Image.open(path) as plot:
        assert plot.size == (900, 700) and len(plot.convert("RGB").getcolors(900 * 700) or []) > 10


def test_without_matplotlib_a_plot_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main([*WORDS, "--plot", str(tmp_path / "burst.png")], {}) == 2
    assert "--plot needs matplotlib, which is not installed: make setup" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--images-per-day", "0"], "0 is not a number from 1 to 1,000,000,000"),
        (["--images-per-day", "many"], "many is not a number from 1 to 1,000,000,000"),
        (["--images-per-day", "nan"], "nan is not a number from 1"),
        (["--size", "0"], "0 is not a size from 1 to 20000000 bytes, such as 100kB"),
        (["--size", "1GB"], "1GB is not a size"),
        (["--bursts", "1.5"], "1.5 is not a whole number from 1 to 1,440"),
        (["--latency", "-1"], "-1 is not a number from 0.001 to 86,400"),
        (["--labels", "-1"], "-1 is not a whole number from 0 to 100,000"),
        (["--labels", "1e6"], "1e6 is not a whole number from 0 to 100,000"),
        (["--delivery", "http"], "'http' is not one of 'auto', 'push', 'pull'"),
    ],
)
def test_wrong_arguments_are_refused(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*WORDS, *words], {}) == 2
    said = capsys.readouterr()
    assert sentence in said.err and not said.out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--peak", "1"], "--peak is 1 images/s; it must be at least the day's mean, 11.5741"),
        (["--images-per-day", "10", "--bursts", "11"], "--bursts is 11; it must be at most --images-per-day, 10"),
        (
            ["--size", "12MB", "--carrier", "message"],
            "--size is 12,000,000 bytes; a message carries at most 10,000,000",
        ),
        (["--bench", "none.json"], "measurements cannot be read from none.json: No such file"),
        (["--prices", "none.toml"], "prices cannot be read from none.toml: No such file"),
        (["--tfvars", "none/x.tfvars"], "--tfvars cannot be written to none/x.tfvars: No such file"),
    ],
)
def test_contradicting_arguments_are_refused(
    words: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*WORDS, *words], {}) == 2
    said = capsys.readouterr()
    assert sentence in said.err and not said.out and not list(tmp_path.iterdir())
