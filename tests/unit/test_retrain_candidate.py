"""When a new version becomes the candidate: never instead of one that gets requests, and never again."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.registry.aliases import CANDIDATE
from model.registry.registry import Registry
from model.training.retrain.candidate import set_candidate
from tests.registry_models import NAME, push, set_alias


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    (tmp_path / "registry").mkdir()
    return Registry.at(str(tmp_path / "registry"))


def test_the_candidate_gets_no_request_at_first(registry: Registry, tmp_path: Path) -> None:
    one, two = push(registry, tmp_path, "1.0.0", "2.0.0")
    assert set_candidate(registry, NAME, one) == (True, f"candidate names {NAME} 1.0.0 and gets no request yet")
    assert set_candidate(registry, NAME, two)[0]
    found = registry.aliases(NAME)[CANDIDATE]
    assert (found.target, found.percent, found.shadow, found.previous) == (two, 0.0, False, (one,))


def test_a_candidate_that_gets_requests_is_left_alone(registry: Registry, tmp_path: Path) -> None:
    one, two = push(registry, tmp_path, "1.0.0", "2.0.0")
    set_alias(registry, one, CANDIDATE, percent=10.0)
    before = registry.aliases(NAME)
    is_set, said = set_candidate(registry, NAME, two)
    assert not is_set and "it names 1.0.0, which gets 10 % of the requests" in said
    assert registry.aliases(NAME) == before


def test_a_redelivery_does_not_move_the_candidate_back(registry: Registry, tmp_path: Path) -> None:
    one, two = push(registry, tmp_path, "1.0.0", "2.0.0")
    set_candidate(registry, NAME, one)
    assert set_candidate(registry, NAME, one)[0], "an attempt that was interrupted before its answer"
    set_candidate(registry, NAME, two)
    assert set_candidate(registry, NAME, one) == (False, "candidate is not set: it named 1.0.0 before and 2.0.0 now")
    assert registry.aliases(NAME)[CANDIDATE].target == two
