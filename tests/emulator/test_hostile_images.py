"""Hostile images through both doors: exactly one response each, no worker dies, none is slow, memory stays small.

A share of the archive; `python -m tests.fault.images` sends all of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from tests.fault.images import MAX_TOTAL_MS, files, send

EVERY = 50


@pytest.mark.parametrize("door", ["push", "pull"])
def test_hostile_images(door: Literal["push", "pull"], shared_data: Path) -> None:
    outcome = send(door, files(shared_data, EVERY))
    assert outcome.kept, outcome
    assert outcome.slowest[0] < 5 * MAX_TOTAL_MS, outcome
    assert {"ok", "invalid_image", "image_too_large", "unsupported_format"} == set(outcome.codes), outcome
