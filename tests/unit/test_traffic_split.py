"""Which alias of a model gets a request."""

from __future__ import annotations

from itertools import pairwise

import pytest

from functions.runtime.traffic_split import side_of

IDS = [f"request-{number}" for number in range(20_000)]


@pytest.mark.parametrize("percent", [0.5, 5.0, 50.0, 99.0])
def test_a_canary_gets_its_share(percent: float) -> None:
    got = sum(side_of(each, {"candidate": percent}) == "candidate" for each in IDS)
    expected = len(IDS) * percent / 100
    assert abs(got - expected) < 4 * (expected * (1 - percent / 100)) ** 0.5


def test_at_0_percent_it_gets_none_and_at_100_all() -> None:
    assert {side_of(each, {"candidate": 0.0}) for each in IDS} == {None}
    assert {side_of(each, {"candidate": 100.0}) for each in IDS} == {"candidate"}


def test_a_request_stays_with_a_canary_whose_share_grows() -> None:
    shares = [{each for each in IDS if side_of(each, {"candidate": percent})} for percent in (1.0, 5.0, 20.0, 100.0)]
    assert all(less < more for less, more in pairwise(shares))


def test_several_canaries_share_without_an_overlap() -> None:
    sides = [side_of(each, {"blue": 10.0, "green": 30.0}) for each in IDS]
    assert abs(sides.count("blue") - 2_000) < 200
    assert abs(sides.count("green") - 6_000) < 300
    assert abs(sides.count(None) - 12_000) < 300


def test_every_worker_of_every_release_gives_a_request_the_same_side() -> None:
    # Computed apart from the code: the first 8 bytes of the SHA-256 of the request_id, as a share of 2 to the 64.
    assert [each for each in IDS[:60] if side_of(each, {"candidate": 10.0})] == [
        f"request-{number}" for number in (11, 27, 49, 55)
    ]
