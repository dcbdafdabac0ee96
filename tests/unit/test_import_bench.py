"""The parts of the measurement of imports that need no TensorFlow: what is asked, the random heads, the table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.bench.imports import measure
from tests.bench.imports.measure import Refused, Result, imported
from tests.bench.imports.page import networks, networks_of, page
from tests.bench.imports.subject import SPREAD, Subject, spread


def asking(*questions: str) -> Any:
    """An import that asks for one option after the other."""

    def run(*words: str) -> str:
        missing = [flag for flag in questions if not any(word.startswith(flag) for word in words)]
        return f"model import: it does not say; {missing[0]} says it" if missing else ""

    return run


def subject(*answers: str) -> Subject:
    return Subject("PyTorch", "a network", lambda: pytest.fail("nothing is made here"), answers)


def test_an_answer_is_given_only_when_the_import_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "_import", asking("--pixels", "--outputs"))
    words, asked = imported("a.onnx", subject("--outputs=logits", "--pixels=torch", "--labels=l.txt"))
    assert words == "a.onnx --pixels torch --outputs logits"
    assert asked == ["--pixels", "--outputs"]


def test_an_import_that_refuses_without_a_question_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "_import", lambda *_: "model import: a.onnx holds the operator Magic")
    with pytest.raises(Refused, match="holds the operator Magic"):
        imported("a.onnx", subject("--pixels=torch"))


def test_random_heads_give_different_labels() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(5, 0.1, (32, 8))  # much alike, as those of a random network
    kernel, offset = spread(features, rng.normal(size=(8, 6)), np.zeros(6))
    logits = features @ kernel + offset
    np.testing.assert_allclose(logits.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(logits.std(axis=0), SPREAD)
    assert len(set(logits.argmax(axis=1).tolist())) > 3


def test_a_model_that_fails_stays_in_the_table_with_the_reason() -> None:
    good = Result("ONNX", "good", True, "good.onnx", ["--pixels"], "onnx", 3, 2, 0.995, 2e-5, 8.25, 120.0, 1_500_000)
    bad = Result("PyTorch", "bad", False, fault="it holds the operator A|B")
    text = page([good, bad], 200, "29 November 2026", "a machine", ["Keras 3 other"])
    assert "| **good** | `good.onnx` | `--pixels` | 99.5% (2) | 2e-05 | onnx 8.2 / 120 | 1.50 |" in text
    assert "| bad |  | failed: it holds the operator A/B |" in text
    assert "Not measured: Keras 3 other." in text


def test_the_trained_networks_stay_on_the_page_when_the_rest_is_measured_again() -> None:
    first = Result("nsfwjs", "small", True, "small --pixels unit", ["--pixels"], "litert", 5, 5, 1.0, 2e-7, 80.0, 75.0)
    first.cold_seconds, first.size_bytes = 0.5, 2_000_000
    second = replace(first, engine="savedmodel", speed=9.0, cold_seconds=5.25)
    bad = Result("PyPI", "bad", True, fault="it holds the operator A|B")
    section = networks([first, second, bad], 200, "29 November 2026", "a machine", ["PyPI gone"], ["pip install it"])
    asked = "`small --pixels unit` | `--pixels`"
    assert f"| nsfwjs, small | {asked} | litert | 100.0% (5) | 2e-07 | 80 / 75 | 0.50 | 2.00 |" in section
    assert "|  |  |  | savedmodel | 100.0% (5) | 2e-07 | 9.0 / 75 | 5.25 | 2.00 |" in section
    assert "| PyPI, bad |  | failed: it holds the operator A/B |" in section
    assert "\n    pip install it\n" in section and "Not measured, as they are not installed: PyPI gone." in section
    text = page([], 200, "29 November 2026", "a machine", [], section)
    assert networks_of(text) == section and networks_of(page([], 200, "today", "a machine", [])) == ""
