"""Multi-label models: the file or the user says that labels do not exclude each other, and they are served so."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

keras = pytest.importorskip("keras", reason="no TensorFlow: pip install -r model/requirements.txt")
from model.__main__ import main  # noqa: E402
from model.artifact.load import load_engine, read_artifact  # noqa: E402
from model.predictor import Predictor  # noqa: E402
from model.training.errors import DatasetError, SourceError  # noqa: E402
from model.training.evaluation.evaluate import evaluate  # noqa: E402
from model.training.importing.import_model import (  # noqa: E402
    ImportOptions,
    import_model,
    open_source,
    signature_for,
)
from tests.networks import Save, as_h5, as_keras, as_lite, as_saved_model, network  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file"),
    pytest.mark.usefixtures("unmeasured"),
]

FORMATS = [as_keras, as_h5, as_saved_model, as_lite]


def options(source: Path, **more: Any) -> ImportOptions:
    labels = source.parent / "labels.txt"
    labels.write_text("cat\ndog\neel\n")
    return ImportOptions(str(source), labels=labels, **{"pixels": "unit", **more})


def spread() -> Any:
    """A network of three independent scores, which differ from each other and from image to image."""
    made = network(activation="sigmoid")
    kernel, bias = made.layers[-1].get_weights()
    made.layers[-1].set_weights([kernel * 8, bias + np.linspace(-1, 1, 3)])
    return made


@pytest.mark.parametrize("save", FORMATS)
def test_a_sigmoid_for_each_label_is_multi_label_unless_the_user_says_otherwise(
    save: Save, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = save(tmp_path, spread())
    opened = open_source(options(source))
    for answer, multi_label in ((None, True), ("multilabel-probabilities", True), ("probabilities", False)):
        signature = signature_for(opened, options(source, outputs=answer))
        assert (signature.multi_label, signature.threshold) == (multi_label, 0.5)
        said = "is multi-label: an image has the labels with a score of at least 0.5; if its labels exclude each other"
        assert (said in capsys.readouterr().err) == (answer is None)
    assert signature_for(opened, options(source, threshold=0.2)).threshold == 0.2
    with pytest.raises(
        SourceError, match=r"--outputs is logits; .* gives multilabel-probabilities: it ends with sigmoid"
    ):
        signature_for(opened, options(source, outputs="logits"))


def test_probabilities_that_sum_to_one_are_not_multi_label(tmp_path: Path) -> None:
    source = as_keras(tmp_path, network())
    with pytest.raises(SourceError, match=r"--outputs is multilabel-probabilities; .* gives probabilities"):
        signature_for(open_source(options(source)), options(source, outputs="multilabel-probabilities"))


@pytest.mark.parametrize(
    ("activation", "more", "words"),
    [
        (
            "softmax",
            {"threshold": 0.4},
            r"the threshold is 0\.4; only a multi-label model has one, and the labels of thi",
        ),
        ("sigmoid", {"threshold": 0.4, "outputs": "probabilities"}, "only a multi-label model has one"),
        ("sigmoid", {"threshold": 1.0}, "the threshold is 1; it must be above 0 and below 1"),
        ("sigmoid", {"threshold": float("nan")}, "the threshold is nan; it must be above 0"),
    ],
)
def test_a_threshold_that_makes_no_sense_is_refused(
    activation: str, more: dict[str, Any], words: str, tmp_path: Path
) -> None:
    source = as_keras(tmp_path, network(activation=activation))
    with pytest.raises(SourceError, match=words):
        signature_for(open_source(options(source)), options(source, **more))


def photo(level: int) -> bytes:
    file = BytesIO()
    noise = np.random.default_rng(level).integers(0, level + 1, (20, 16, 3))
    Image.fromarray(noise.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs were expected")
def test_a_multi_label_model_is_served_with_all_its_labels(tmp_path: Path) -> None:
    made = spread()
    folder = tmp_path / "photos"
    for label in ("cat", "dog"):
        (folder / label).mkdir(parents=True)
        for level in range(5, 250, 40):
            (folder / label / f"{level}.png").write_bytes(photo(level))
    order = options(as_keras(tmp_path, made), threshold=0.45, data=folder, framing="squash")
    import_model(order, tmp_path / "out")
    body = json.loads((tmp_path / "out" / "signature.json").read_text())
    assert (body["outputs"], body["multi_label"], body["threshold"]) == ("multilabel-probabilities", True, 0.45)
    assert "reference" not in body, "drift is not measured"
    card = " ".join((tmp_path / "out" / "MODEL_CARD.md").read_text().split())
    assert "each score is a probability of its own. An image has the labels with a score of at least 0.45." in card
    assert "the fastest variant whose labels from 0.45 on equal the model's own on at least 99.5%" in card
    assert "| other labels |" in card and "the accuracy that it costs is unknown" in card

    _, engine = load_engine(read_artifact(tmp_path / "out"))
    predictor, found = Predictor(engine), set()
    for level in range(5, 250, 10):
        scores = engine.score(predictor.prepare(photo(level)))[0]
        pixels = np.asarray(Image.open(BytesIO(photo(level))), np.float32)[None] / 255
        np.testing.assert_allclose(scores, made.predict(pixels, verbose=0)[0], atol=0.02)
        labels = predictor.assigned(scores)
        assert labels is not None
        assert set(labels) == {
            label for label, score in zip(("cat", "dog", "eel"), scores, strict=True) if score >= 0.45
        }
        found.add(labels)
    engine.close()
    assert len(found) > 1, "images differ in their labels"
    with pytest.raises(DatasetError, match="is multi-label; accuracy is measured only for models whose labels exclude"):
        evaluate(tmp_path / "out", data=folder)


def test_an_exclusive_model_says_why_it_has_a_sigmoid(tmp_path: Path) -> None:
    source = as_keras(tmp_path, spread())
    options(source)
    given = ["--pixels", "unit", "--labels", str(tmp_path / "labels.txt"), "--engines", "litert"]
    assert main(["import", str(source), *given, "--outputs", "probabilities", "--out", str(tmp_path / "out")]) == 0
    body = json.loads((tmp_path / "out" / "signature.json").read_text())
    assert not {"multi_label", "threshold", "outputs"} & body.keys(), "an older worker can serve it"
    assert "as `--outputs probabilities` says" in (tmp_path / "out" / "MODEL_CARD.md").read_text()
