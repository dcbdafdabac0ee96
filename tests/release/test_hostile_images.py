"""Hostile images through push and pull: exactly one response each, no worker dies, none is slow, memory stays small.

A share of the archive, where it is, and all that are made here; `python -m tests.fault.images` sends all of both.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import pytest

from tests.conftest import data_folder
from tests.fault.images import MAX_TOTAL_MS, files, send

EVERY = 50


@pytest.fixture
def archive(request: pytest.FixtureRequest) -> Path | None:
    """The shared data; None where it is absent, but not under CI."""
    if not os.environ.get("CI") and not data_folder().is_dir():
        return None
    return Path(request.getfixturevalue("shared_data"))


@pytest.mark.parametrize("entry_point", ["push", "pull"])
def test_hostile_images_get_error_responses(entry_point: Literal["push", "pull"], archive: Path | None) -> None:
    outcome = send(entry_point, files(archive, EVERY))
    assert outcome.kept, outcome
    assert outcome.slowest[0] < 5 * MAX_TOTAL_MS, outcome
    assert set(outcome.codes) >= {"ok", "image_too_large"}, outcome
    if archive:
        assert set(outcome.codes) == {"ok", "invalid_image", "image_too_large", "unsupported_format"}, outcome
