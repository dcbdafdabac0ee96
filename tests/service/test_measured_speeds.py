"""Variants of a model are measured in separate processes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from model.training.errors import MeasureError
from model.training.export.benchmark import BATCHES, THREADS, Target, measure_speeds
from tests.unit.test_gate import SHIPPED


def test_speeds_are_measured_in_separate_processes(tmp_path: Path) -> None:
    target = Target(SHIPPED, "litert", SHIPPED / "model.tflite")
    (found,) = measure_speeds([target], rounds=1)
    assert set(found.rates) == {(threads, batch) for threads in THREADS for batch in BATCHES}
    assert min(found.rates.values()) > 10
    assert list(found.rounds) == pytest.approx([found.images_per_second])
    assert 0.02 < found.cold_start_s < 60
    assert 20e6 < found.memory < 500e6
    (tmp_path / "none.tflite").write_bytes(b"no model")
    with pytest.raises(MeasureError, match=r"none\.tflite cannot be measured: .*is not a model that LiteRT can load"):
        measure_speeds([replace(target, model=tmp_path / "none.tflite")], rounds=1)
