"""Export: from a training run to an artifact, measured and compared with the trained network before it is kept.

A run folder holds config.yaml, history.csv and a checkpoint; an artifact's training/ folder is one too, so an artifact
can be exported again (a new recipe, another machine) without training.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np

from model.artifact import ENGINES, Artifact, load_engine, open_engine, read_artifact
from model.drift import make_reference
from model.engine import Images, Scores, Signature
from model.metrics import accuracy, class_figures, confusion
from model.training import datasets
from model.training.card import Facts, render_card
from model.training.compress import VARIANTS, check_samples, convert
from model.training.config import Config, read_config
from model.training.errors import ExportError
from model.training.gate import Candidate, choose, faithfulness
from model.training.inputs import as_inputs, signature_of
from model.training.journal import CHECKPOINT, CONFIG, HISTORY, PLOT, epochs_of, final_weights, finished, load_history
from model.training.labelled import items_of
from model.training.measure import Parity, Speed, Target, compare, measure_speeds, score_all
from model.training.network import build
from model.training.plot import draw
from model.training.scoring import score_items
from model.training.writing import CARD, replace, write_manifest, write_saved_model, write_signature

MAX_DISAGREEMENT = 0.001
MAX_DIFFERENCE = 1e-3
MAX_SIZE = 10_000_000
SAMPLES = 300
"""Training images that int8 learns its ranges from."""


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
    fit_on, validation = datasets.split(datasets.load("train", data), config.validation_images, config.seed)
    signature = signature_of(config.recipe)
    samples = as_inputs(fit_on.images[:SAMPLES], signature)
    network = _in_float32(weights, config, as_inputs(validation.images[:1000], signature))
    out = out.resolve()
    work = out.with_name(f"{out.name}.exporting")
    shutil.rmtree(work, ignore_errors=True)
    try:
        _keep_run(run, work / "training", network)
        with tempfile.TemporaryDirectory(prefix="compressing-", dir=out.parent) as forms:
            candidates, tensorflow = _compress(work, Path(forms), config, network, samples, validation)
        facts = _measure(work, config, network, candidates, tensorflow, datasets.load("test", data))
        (work / CARD).write_text(render_card(config, facts, len(epochs_of(history))), "utf-8")
        size = sum(path.stat().st_size for path in work.rglob("*") if path.is_file())
        if size > MAX_SIZE:
            raise ExportError(f"the artifact is {size:,} bytes; at most {MAX_SIZE:,} are allowed")
        replace(work, out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return read_artifact(out)


def _in_float32(checkpoint: Path, config: Config, images: Images) -> Any:
    """The trained network, rebuilt in float32 and compared with itself on validation images."""
    trained = keras.models.load_model(checkpoint, compile=False)
    network = build(config.widths, config.dropout, len(datasets.FASHION_MNIST_LABELS))
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


def _compress(
    work: Path, forms: Path, config: Config, network: Any, samples: Images, validation: datasets.Split
) -> tuple[list[Candidate], Speed]:
    """Write the engines' files into `work`: for LiteRT the fastest form that passes the gate. Gives all forms, and how
    fast the SavedModel is.

    The gate looks at validation images: the test images are for the card alone.
    """
    signature, lite = signature_of(config.recipe), ENGINES["litert"].path
    check_samples(samples, signature)
    saved_model = work / ENGINES["savedmodel"].path
    endpoints = write_saved_model(saved_model, network)
    images = as_inputs(validation.images, signature)
    reference, scores = _predict(network, images), {}
    for variant in VARIANTS:
        path = forms / f"{variant}.tflite"
        path.write_bytes(convert(saved_model, endpoints, variant, samples))
        scores[variant] = _score_file(path, signature, images)
        if variant == VARIANTS[0]:
            _check_parity("litert", compare(scores[variant], reference))
    shutil.copyfile(forms / f"{VARIANTS[0]}.tflite", work / lite)
    write_signature(work, signature)
    write_manifest(work, config.name, config.version, dict.fromkeys(ENGINES))

    targets = [Target(work, "litert", forms / f"{variant}.tflite") for variant in VARIANTS]
    *speeds, tensorflow = measure_speeds([*targets, Target(work, "savedmodel", saved_model)])
    candidates = []
    for variant, speed in zip(VARIANTS, speeds, strict=True):
        agreement, drop = faithfulness(scores[variant], reference, validation.labels)
        candidates.append(Candidate(variant, (forms / f"{variant}.tflite").stat().st_size, agreement, drop, speed))
        _say(f"{variant}: agreement {agreement:.2%}, drop {drop:.2%}, {speed.images_per_second:,.0f} images/s")
    chosen = choose(candidates).variant
    _say(f"served is {chosen}")
    shutil.copyfile(forms / f"{chosen}.tflite", work / lite)
    write_signature(work, signature, make_reference(scores[chosen], signature.labels))
    return candidates, tensorflow


def _measure(
    work: Path,
    config: Config,
    network: Any,
    candidates: list[Candidate],
    tensorflow: Speed,
    test: datasets.Split,
) -> Facts:
    """Compare what was written, order the engines in the manifest by speed, read the test images' labels once."""
    signature, chosen = signature_of(config.recipe), choose(candidates)
    images = as_inputs(test.images, signature)
    reference = _predict(network, images)
    parities: dict[str, Parity] = {}
    for name, runtime in ENGINES.items():
        parities[name] = compare(_score_file(work / runtime.path, signature, images, name), reference)
        _say(f"{name}: other best label on {parities[name].disagreement:.2%} of the test images")
    _check_parity("savedmodel", parities["savedmodel"])
    measured = {"litert": chosen.speed, "savedmodel": tensorflow}
    speeds = dict(sorted(measured.items(), key=lambda item: item[1].images_per_second, reverse=True))
    parameters = network.count_params()
    write_manifest(work, config.name, config.version, speeds, chosen.variant, parameters)
    artifact = read_artifact(work)
    _, engine = load_engine(artifact, next(iter(speeds)))
    scored = score_items(engine, items_of(test))
    engine.close()
    matrix = confusion(test.labels, scored.scores.argmax(axis=1), len(signature.labels))
    right = accuracy(matrix)
    _say(f"test accuracy {right:.2%}")
    packages = ("tensorflow", "keras", "ai-edge-litert", "numpy")
    return Facts(
        digest=artifact.digest,
        parameters=parameters,
        size=sum(path.stat().st_size for path in work.rglob("*") if path.is_file()),
        accuracy=right,
        recall=dict(zip(signature.labels, (figures.recall for figures in class_figures(matrix)), strict=True)),
        test_images=len(test),
        speeds=speeds,
        parities=parities,
        candidates=candidates,
        served=chosen.variant,
        machine=f"{os.cpu_count()} CPUs ({platform.machine()}), Python {platform.python_version()}",
        versions=", ".join(f"{package} {version(package)}" for package in packages),
    )


def _check_parity(name: str, parity: Parity) -> None:
    if parity.disagreement > MAX_DISAGREEMENT or parity.max_difference > MAX_DIFFERENCE:
        raise ExportError(
            f"{name} is not the trained network: other best label on {parity.disagreement:.2%} of the images "
            f"(at most {MAX_DISAGREEMENT:.1%}), scores differ by {parity.max_difference:.1e} "
            f"(at most {MAX_DIFFERENCE:.0e})"
        )


def _score_file(path: Path, signature: Signature, images: Images, engine: str = "litert") -> Scores:
    opened = open_engine(engine, path, signature)
    try:
        return score_all(opened, images)
    finally:
        opened.close()


def _predict(network: Any, images: Images) -> Scores:
    scores: Scores = np.asarray(network.predict(images, batch_size=500, verbose=0), np.float32)
    return scores


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
