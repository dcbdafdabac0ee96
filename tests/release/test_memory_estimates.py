"""The memory budget's estimate covers decoding, for every format and mode that is served."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.memory_estimates import CASES, CORRECTED, METADATA

LEAST = 0.9
"""Share of the measured peak that must be counted."""

NOISE_BYTES = 1_500_000
"""Tolerance, bytes: memory that the interpreter and the libraries occasionally take in addition."""


def test_no_image_takes_more_memory_than_it_is_counted_as(root: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.memory_estimates"], cwd=root, capture_output=True, text=True, check=True
    )
    rows = [json.loads(line) for line in ran.stdout.splitlines()]
    assert len(rows) == 3 * len(CASES) + len(METADATA) + len(CORRECTED)
    assert all(peak >= 0 for *_, peak, _ in rows)
    assert [row for row in rows if row[-1] < LEAST * (row[-2] - NOISE_BYTES)] == []
