"""How many instances a worker pool gets: decisions worked out by hand."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import pytest

from functions.entrypoints import scale_pool
from functions.scaling.decision import Limits, needed, target
from functions.scaling.history import Minute, Rate, arrivals, measured_rate

LIMITS = Limits(least=0, most=10, drain=10, cooldown=15)
PER_S = 2.0
"""Messages per second of one instance: 1,200 in ten minutes."""

POOL = "projects/p/locations/r/workerPools/pool"
NAMES = [POOL, "--subscription", "projects/p/subscriptions/s"]


def quiet(backlogs: Sequence[float | None]) -> list[Minute]:
    """Minutes of a pool that handles nothing."""
    return [Minute(backlog, 0, None) for backlog in backlogs]


def waiting(backlog: float, *, minutes: int = 30) -> list[Minute]:
    """Minutes in which the same number of messages came and was handled: none."""
    return quiet([backlog] * minutes)


@pytest.mark.parametrize(
    ("backlog", "count"), [(0, 0), (1, 1), (1199, 1), (1200, 1), (1201, 2), (12_000, 10), (12_001, 10), (1e12, 10)]
)
def test_the_backlog_is_handled_within_the_drain_time(backlog: float, count: int) -> None:
    assert needed(waiting(backlog), 29, PER_S, LIMITS) == count
    assert target(waiting(backlog), 0, PER_S, LIMITS) == count


@pytest.mark.parametrize(("acked", "count"), [(0, 0), (60, 1), (120, 1), (130, 2), (600, 5)])
def test_a_load_without_a_backlog_keeps_its_instances(acked: float, count: int) -> None:
    """Acked messages a minute that came in the same minute."""
    assert needed([Minute(0, acked, None)] * 30, 29, PER_S, LIMITS) == count


def test_a_minimum_and_a_maximum_hold() -> None:
    limits = Limits(least=2, most=4, drain=10, cooldown=15)
    for current in (0, 1, 2, 3, 4, 9, None):
        assert target(waiting(0), current, PER_S, limits) == 2
        assert target(waiting(1e9), current, PER_S, limits) == 4
    assert target(quiet([1e9, 2e9]), 9, PER_S, limits) == 4  # set by hand, and the backlog grows


@pytest.mark.parametrize(
    ("minutes", "current", "count"),
    [
        ([1000] * 10 + [3000] * 10 + [1000] * 15, 5, 5),  # 15 minutes ago 3,000 waited
        ([1000] * 10 + [3000] * 10 + [1000] * 40, 5, 1),
        ([3000] * 20 + [0] * 16, 3, 0),
        ([3000] * 20 + [0] * 15, 3, 3),
        ([1000] * 40, 3, 1),
        ([1000] * 39 + [1001], 3, 3),  # it grows
        ([1000] * 39 + [999], 3, 1),
        ([1150] * 40, 2, 2),  # one instance would have nothing to spare
        ([500] + [None] * 20 + [500], 3, 1),
        ([400] + [None] * 20 + [500], 3, 3),  # it grows
        ([None] * 20 + [500] * 15, 3, 3),  # the cool-down is not known
        ([None] * 20 + [500] * 16, 3, 1),
    ],
)
def test_instances_stop_after_the_cooldown(minutes: list[float | None], current: int, count: int) -> None:
    assert target(quiet(minutes), current, PER_S, LIMITS) == count


def test_a_pool_without_a_count_gets_what_the_cooldown_called_for() -> None:
    assert target(waiting(3000), None, PER_S, LIMITS) == 3


@pytest.mark.parametrize(
    ("minutes", "count"),
    [
        (quiet([0, 100, 300]), 300 * 5),  # two of the ten minutes are known: the mean stands for the others
        (quiet([100] * 11), 0),
        (quiet([0] + [500] * 10), 500),
        (quiet([0] + [500] * 11), 0),  # 11 minutes ago
        (quiet([None] * 5 + [0] + [500] * 5), 1000),
        ([Minute(0, 7, None)] * 11, 70),
        (quiet([500] * 10 + [0]), 0),  # purged
        (quiet([500]), 0),
    ],
)
def test_arrivals_are_what_was_handled_and_what_the_backlog_grew_by(minutes: list[Minute], count: float) -> None:
    assert arrivals(minutes, len(minutes) - 1, 10) == count


BUSY, IDLE, OFF = Minute(500, 120, 60), Minute(0, 30, 60), Minute(500, 0, 0)


@pytest.mark.parametrize(
    ("minutes", "rate"),
    [
        ([], None),
        ([IDLE] * 99, None),
        ([OFF] * 99, None),
        ([BUSY] * 3, None),  # two minutes with another one before them
        ([BUSY] * 4, Rate(2.0, 3)),
        ([BUSY] * 4 + [IDLE] * 9, Rate(2.0, 4)),  # the first idle minute began with a backlog
        ([Minute(500, 60, 60)] * 50 + [BUSY] * 30, Rate(2.0, 30)),
        ([BUSY] * 9 + [Minute(500, 2, 60)] * 2, Rate(2.0, 10)),  # an instance starts: the median ignores it
        ([BUSY] * 9 + [Minute(500, 480, 60)] * 2, Rate(2.0, 10)),  # small images came
        ([Minute(500, 240, 120)] * 9, Rate(2.0, 8)),
        ([Minute(120, 120, 60)] * 9, None),  # it may have waited for messages
        ([Minute(None, 120, 60)] * 9, None),
        ([Minute(500, 120, None)] * 9, None),
    ],
)
def test_the_rate_is_measured_in_busy_minutes(minutes: list[Minute], rate: Rate | None) -> None:
    assert measured_rate(minutes) == rate


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["x", *NAMES[1:], "--max", "3"], f"POOL: it is 'x'; it must look like {scale_pool._POOL}"),
        ([POOL, "--subscription", "s", "--max", "3"], "--subscription: it is 's'; it must look like projects/P/sub"),
        ([POOL.replace("pool", '"'), *NAMES[1:], "--max", "3"], "it must look like"),
        ([*NAMES, "--max", "0"], "--max: it is '0'; it must be a whole number from 1 to 1000"),
        ([*NAMES, "--max", "1.5"], "--max: it is '1.5'"),
        ([*NAMES, "--max", "3", "--min", "4"], "--min: it is 4; it must be at most --max, which is 3"),
        ([*NAMES, "--max", "3", "--drain", "0"], "--drain: it is '0'; it must be a whole number from 1 to 720"),
        ([*NAMES, "--max", "3", "--cooldown", "-1"], "--cooldown: "),
        *(
            ([*NAMES, "--max", "3", "--rate", rate], f"--rate: it is '{rate}'")
            for rate in ("0", "-1", "nan", "inf", "x")
        ),
    ],
)
def test_wrong_arguments_are_refused(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        scale_pool.main(words)
    assert said in " ".join(capsys.readouterr().err.split())


def test_the_example_of_the_help_is_taken() -> None:
    example = scale_pool._EPILOG.split("%(prog)s")[1].split("\n\n")[0]
    args = scale_pool._parser("p").parse_args(shlex.split(example.replace("\\\n", " ")))
    assert args.dry_run and args.max == 10
