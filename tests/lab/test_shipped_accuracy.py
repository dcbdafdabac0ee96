"""The committed artifact has the accuracy of its model card, on all test images."""

from __future__ import annotations

from pathlib import Path

from model.training.evaluation.evaluate import evaluate


def test_the_measured_accuracy_is_that_of_the_model_card(root: Path, shared_data: Path) -> None:
    folder = root / "model" / "artifacts" / "fashion-mnist"
    evaluation = evaluate(folder, "litert", data=shared_data / "fashion-mnist").to_dict()
    card = (folder / "MODEL_CARD.md").read_text("utf-8")
    assert evaluation["images"] == 10_000
    assert evaluation["accuracy"] >= 0.93
    assert f"**{evaluation['accuracy']:.2%}** right" in card
    assert f"residual network of {evaluation['parameters']:,} parameters" in card
    for label, figures in evaluation["classes"].items():
        assert f"| {label} | {figures['recall']:.1%} |" in card
    assert evaluation["accuracy"] > evaluation["baselines"]["logistic_regression"] > 0.7
