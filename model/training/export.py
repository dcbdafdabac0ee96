"""Export: from a training run to an artifact, measured and compared with the trained network before it is kept.

A run folder holds config.yaml, history.csv and a checkpoint; an artifact's training/ folder is one too, so an artifact
can be exported again (a new recipe, another machine) without training.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from model.artifact import ENGINES, Artifact, load_engine, read_artifact
from model.engine import Images, Scores
from model.manifest import MANIFEST, SCHEMA_VERSION, describe_file, digest_of
from model.training import datasets
from model.training.card import Facts, render_card
from model.training.config import Config, read_config
from model.training.errors import ExportError
from model.training.evaluate import assess
from model.training.inputs import as_inputs, signature_of
from model.training.journal import CHECKPOINT, CONFIG, HISTORY, PLOT, epochs_of, final_weights, finished, load_history
from model.training.measure import Parity, Speed, compare, measure_speed, score_all
from model.training.network import build
from model.training.plot import draw

MAX_DISAGREEMENT = 0.001
MAX_DIFFERENCE = 1e-3
MAX_SIZE = 10_000_000
_NOT_DECIDING = ("MODEL_CARD.md", MANIFEST, "training")


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
    network = _in_float32(weights, config, data)
    out = out.resolve()
    work = out.with_name(f"{out.name}.exporting")
    shutil.rmtree(work, ignore_errors=True)
    try:
        _write(work, run, config, network)
        facts = _measure(work, config, network, len(epochs_of(history)), data)
        (work / "MODEL_CARD.md").write_text(render_card(config, facts), "utf-8")
        size = sum(path.stat().st_size for path in work.rglob("*") if path.is_file())
        if size > MAX_SIZE:
            raise ExportError(f"the artifact is {size:,} bytes; at most {MAX_SIZE:,} are allowed")
        _replace(work, out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return read_artifact(out)


def _in_float32(checkpoint: Path, config: Config, data: Path | None) -> Any:
    """The trained network, rebuilt in float32 and compared with itself on validation images."""
    trained = keras.models.load_model(checkpoint, compile=False)
    network = build(config.widths, config.dropout, len(datasets.FASHION_MNIST_LABELS))
    network.set_weights(trained.get_weights())
    _, validation = datasets.split(datasets.load("train", data), config.validation_images, config.seed)
    images = as_inputs(validation.images[:1000], signature_of(config.recipe))
    agreement = compare(_predict(network, images), _predict(trained, images))
    _say(f"float32 against {config.precision}: other best label on {agreement.disagreement:.2%} of validation images")
    if agreement.disagreement > 0.02:
        raise ExportError(f"the float32 network answers {agreement.disagreement:.1%} of the images otherwise")
    return network


def _write(work: Path, run: Path, config: Config, network: Any) -> None:
    """Everything but the measurements."""
    training = work / "training"
    training.mkdir(parents=True)
    for name in (CONFIG, HISTORY):
        shutil.copyfile(run / name, training / name)
    draw(load_history(run / HISTORY), training / PLOT)
    network.save(training / CHECKPOINT, include_optimizer=False)

    saved_model, lite_model = (work / ENGINES[name].path for name in ("savedmodel", "litert"))
    archive = keras.export.ExportArchive()
    archive.track(network)
    shape = (None, *network.input_shape[1:])
    # Not "serve": the LiteRT converter drops every endpoint beside one of that name.
    archive.add_endpoint("score", network.call, [keras.InputSpec(dtype="float32", shape=shape, name="images")])
    archive.write_out(str(saved_model), verbose=False)
    # From the SavedModel: a tf.Module made around the network would convert without its weights.
    lite_model.write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(saved_model)).convert())

    signature = asdict(signature_of(config.recipe))
    labels = signature.pop("labels")
    (work / "signature.json").write_text(json.dumps(signature, indent=2) + "\n", "utf-8")
    (work / "labels.txt").write_text("".join(f"{label}\n" for label in labels), "utf-8")
    _write_manifest(work, config, dict.fromkeys(ENGINES))


def _write_manifest(work: Path, config: Config, speeds: dict[str, Speed | None]) -> None:
    paths = (path for path in work.rglob("*") if path.is_file())
    names = sorted(path.relative_to(work).as_posix() for path in paths)
    files = {name: describe_file(work / name) for name in names if name.split("/")[0] not in _NOT_DECIDING}
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "name": config.name,
        "version": config.version,
        "digest": digest_of(files),
        "files": {name: asdict(file) for name, file in files.items()},
        "engines": [{"name": name, "file": ENGINES[name].path, **_figures(speed)} for name, speed in speeds.items()],
    }
    (work / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", "utf-8")


def _figures(speed: Speed | None) -> dict[str, float]:
    return (
        {"images_per_second": round(speed.images_per_second), "cold_start_s": round(speed.cold_start_s, 2)}
        if speed
        else {}
    )


def _measure(work: Path, config: Config, network: Any, epochs: int, data: Path | None) -> Facts:
    """Compare and time every engine, order them in the manifest, then read the test images' labels once."""
    test = datasets.load("test", data)
    images = as_inputs(test.images, signature_of(config.recipe))
    reference = _predict(network, images)
    artifact = read_artifact(work)
    speeds: dict[str, Speed] = {}
    parities: dict[str, Parity] = {}
    for name in artifact.engines:
        _, engine = load_engine(artifact, name)
        parity = parities[name] = compare(score_all(engine, images), reference)
        _say(f"{name}: other best label on {parity.disagreement:.2%}, scores differ by {parity.max_difference:.1e}")
        if parity.disagreement > MAX_DISAGREEMENT or parity.max_difference > MAX_DIFFERENCE:
            raise ExportError(
                f"{name} is not the trained network: other best label on {parity.disagreement:.2%} of the test images "
                f"(at most {MAX_DISAGREEMENT:.1%}), scores differ by {parity.max_difference:.1e} "
                f"(at most {MAX_DIFFERENCE:.0e})"
            )
        engine.close()
        speeds[name] = measure_speed(work, name)
    fastest = sorted(speeds, key=lambda name: speeds[name].images_per_second, reverse=True)
    speeds = {name: speeds[name] for name in fastest}
    _write_manifest(work, config, dict(speeds))
    artifact = read_artifact(work)
    _, engine = load_engine(artifact, fastest[0])
    accuracy, shares = assess(engine, test)
    engine.close()
    _say(f"test accuracy {accuracy:.2%}")
    packages = ("tensorflow", "keras", "ai-edge-litert", "numpy")
    return Facts(
        digest=artifact.digest,
        parameters=network.count_params(),
        size=sum(path.stat().st_size for path in work.rglob("*") if path.is_file()),
        accuracy=accuracy,
        recall=dict(zip(artifact.signature.labels, shares, strict=True)),
        test_images=len(test),
        epochs=epochs,
        speeds=speeds,
        parities=parities,
        machine=f"{os.cpu_count()} CPUs ({platform.machine()}), Python {platform.python_version()}",
        versions=", ".join(f"{package} {version(package)}" for package in packages),
    )


def _predict(network: Any, images: Images) -> Scores:
    scores: Scores = np.asarray(network.predict(images, batch_size=500, verbose=0), np.float32)
    return scores


def _replace(work: Path, out: Path) -> None:
    """Swap the finished folder in; the old one is gone only when the new one stands."""
    old = out.with_name(f"{out.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    work.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
