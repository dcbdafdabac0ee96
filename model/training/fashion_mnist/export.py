"""Exports a training run as an artifact, which is measured and compared with the trained network first.

A run folder holds config.yaml, history.csv and a checkpoint. An artifact's training/ folder is a run folder too, so an
artifact can be exported again, for instance with a new recipe, without training.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

from model.artifact.load import Artifact, load_engine
from model.engines.base import Images, Scores
from model.training.data import idx
from model.training.data.labelled import labelled_images
from model.training.errors import ExportError
from model.training.evaluation.evaluate import TEST_IMAGES, Evaluation, assess
from model.training.evaluation.keep import keep
from model.training.export.benchmark import compare
from model.training.export.calibration_data import SAMPLES, CalibrationData
from model.training.export.package import pack
from model.training.export.variants import ExportJob
from model.training.fashion_mnist.config import Config, read_config
from model.training.fashion_mnist.inputs import as_inputs, signature_of
from model.training.fashion_mnist.model_card import describe_model
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

# Bytes of the artifact, which is committed to the repository.
MAX_SIZE = 10_000_000


def export(run: Path, out: Path, data: Path | None = None, quick: bool = False) -> Artifact:
    """Write the artifact of the run in `run` to `out`. The previous one is replaced only when every check has passed.

    Raises ExportError when the run is unfinished or the artifact differs from the trained network.
    """
    weights = final_weights(run)
    if not weights.exists():
        raise ExportError(f"{run} holds no {CHECKPOINT}; train first (python -m model train)")
    config, history = read_config(run / CONFIG), load_history(run / HISTORY)
    if not finished(config, history):
        then = ", and has no average of its cycles' ends" if config.average else ""
        raise ExportError(f"{run} has {len(history)} of {config.epochs} epochs{then}; continue with train --resume")
    fit_on, validation = idx.split(idx.load("train", data), config.validation_images, config.seed)
    signature = signature_of(config.recipe)
    images = as_inputs(validation.images, signature)
    trial = CalibrationData(
        as_inputs(fit_on.images[:SAMPLES], signature), images, validation.labels, "validation images"
    )
    network = _in_float32(weights, config, images[:1000])
    source = KerasSource(network, str(run))

    def describe(artifact: Artifact) -> str:
        # The test images are used only for the card: variant selection has used the validation images.
        tested = _tested(artifact, idx.load("test", data))
        keep(tested, artifact.folder, TEST_IMAGES)
        _keep_run(run, artifact.folder / "training", network)
        size = sum(path.stat().st_size for path in artifact.folder.rglob("*") if path.is_file())
        if size > MAX_SIZE:
            raise ExportError(f"the artifact is {size:,} bytes; at most {MAX_SIZE:,} are allowed")
        return describe_model(config, source.parameters, len(epochs_of(history)), signature.labels, tested.confusion)

    return pack(ExportJob(source, signature, config.name, config.version, source.engines, trial, quick), out, describe)


def _in_float32(checkpoint: Path, config: Config, images: Images) -> Any:
    """The trained network, rebuilt in float32 and compared with the trained one on validation images."""
    trained = keras.models.load_model(checkpoint, compile=False)
    network = build(config.widths, config.dropout, len(idx.FASHION_MNIST_LABELS))
    network.set_weights(trained.get_weights())
    agreement = compare(_predict(network, images), _predict(trained, images))
    _say(f"float32 against {config.precision}: another best label on {agreement.disagreement:.2%} of validation images")
    if agreement.disagreement > 0.02:
        raise ExportError(f"the float32 network predicts another label for {agreement.disagreement:.1%} of the images")
    return network


def _keep_run(run: Path, training: Path, network: Any) -> None:
    training.mkdir(parents=True)
    for name in (CONFIG, HISTORY):
        shutil.copyfile(run / name, training / name)
    draw(load_history(run / HISTORY), training / PLOT)
    network.save(training / CHECKPOINT, include_optimizer=False)


def _tested(artifact: Artifact, test: idx.Split) -> Evaluation:
    """The evaluation of the artifact's fastest engine on the test images, scored as files."""
    name, engine = load_engine(artifact)
    try:
        found = assess(artifact, name, engine, labelled_images(test))
    finally:
        engine.close()
    _say(f"test accuracy {found.accuracy:.2%}")
    return found


def _predict(network: Any, images: Images) -> Scores:
    scores: Scores = np.asarray(network.predict(images, batch_size=500, verbose=0), np.float32)
    return scores


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
