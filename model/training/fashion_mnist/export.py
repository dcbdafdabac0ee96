"""Export: from a training run to an artifact, measured and compared with the trained network before it is kept.

A run folder holds config.yaml, history.csv and a checkpoint; an artifact's training/ folder is one too, so an artifact
can be exported again (a new recipe, another machine) without training.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

from model.artifact.load import ENGINES, Artifact, load_engine
from model.engines.base import Images, Scores
from model.metrics import Numbers, accuracy, confusion
from model.training.data import idx
from model.training.data.labelled import items_of
from model.training.errors import ExportError
from model.training.evaluation.scoring import score_items
from model.training.export.benchmark import compare
from model.training.export.calibration_data import SAMPLES, Trial
from model.training.export.package import pack
from model.training.export.variants import Product
from model.training.fashion_mnist.config import Config, read_config
from model.training.fashion_mnist.inputs import as_inputs, signature_of
from model.training.fashion_mnist.model_card import tell_story
from model.training.fashion_mnist.network import build
from model.training.fashion_mnist.plot import draw
from model.training.fashion_mnist.run_folder import (
    CHECKPOINT,
    CONFIG,
    HISTORY,
    PLOT,
    epochs_of,
    final_weights,
    finished,
    load_history,
)
from model.training.importing.keras_source import KerasSource

MAX_SIZE = 10_000_000


def export(run: Path, out: Path, data: Path | None = None) -> Artifact:
    """Write the artifact of the run in `run` to `out`, replacing what is there only when every check has passed.

    Raises ExportError when the run is unfinished or the artifact differs from the trained network.
    """
    weights = final_weights(run)
    if not weights.exists():
        raise ExportError(f"{run} holds no {CHECKPOINT}; train first (python -m model train)")
    config, history = read_config(run / CONFIG), load_history(run / HISTORY)
    if not finished(config, history):
        then = ", before the mean of its cycles' ends" if config.average else ""
        raise ExportError(
            f"{run} stopped after {len(history)} of {config.epochs} epochs{then}; go on with train --resume"
        )
    fit_on, validation = idx.split(idx.load("train", data), config.validation_images, config.seed)
    signature = signature_of(config.recipe)
    images = as_inputs(validation.images, signature)
    trial = Trial(as_inputs(fit_on.images[:SAMPLES], signature), images, validation.labels, "validation images")
    network = _in_float32(weights, config, images[:1000])
    source = KerasSource(network, str(run))

    def tell(artifact: Artifact) -> str:
        # The test images are for the card alone: the gate has looked at validation images.
        matrix = _tested(artifact, idx.load("test", data))
        _keep_run(run, artifact.folder / "training", network)
        size = sum(path.stat().st_size for path in artifact.folder.rglob("*") if path.is_file())
        if size > MAX_SIZE:
            raise ExportError(f"the artifact is {size:,} bytes; at most {MAX_SIZE:,} are allowed")
        return tell_story(config, source.parameters, len(epochs_of(history)), signature.labels, matrix)

    return pack(Product(source, signature, config.name, config.version, tuple(ENGINES), trial), out, tell)


def _in_float32(checkpoint: Path, config: Config, images: Images) -> Any:
    """The trained network, rebuilt in float32 and compared with itself on validation images."""
    trained = keras.models.load_model(checkpoint, compile=False)
    network = build(config.widths, config.dropout, len(idx.FASHION_MNIST_LABELS))
    network.set_weights(trained.get_weights())
    agreement = compare(_predict(network, images), _predict(trained, images))
    _say(f"float32 against {config.precision}: other best label on {agreement.disagreement:.2%} of validation images")
    if agreement.disagreement > 0.02:
        raise ExportError(f"the float32 network answers {agreement.disagreement:.1%} of the images otherwise")
    return network


def _keep_run(run: Path, training: Path, network: Any) -> None:
    training.mkdir(parents=True)
    for name in (CONFIG, HISTORY):
        shutil.copyfile(run / name, training / name)
    draw(load_history(run / HISTORY), training / PLOT)
    network.save(training / CHECKPOINT, include_optimizer=False)


def _tested(artifact: Artifact, test: idx.Split) -> Numbers:
    """What the artifact's fastest engine makes of the test images, as files: a confusion matrix."""
    _, engine = load_engine(artifact)
    scored = score_items(engine, items_of(test))
    engine.close()
    matrix = confusion(test.labels, scored.scores.argmax(axis=1), len(artifact.signature.labels))
    _say(f"test accuracy {accuracy(matrix):.2%}")
    return matrix


def _predict(network: Any, images: Images) -> Scores:
    scores: Scores = np.asarray(network.predict(images, batch_size=500, verbose=0), np.float32)
    return scores


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
