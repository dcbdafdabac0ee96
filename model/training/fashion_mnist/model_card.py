"""The head of the Fashion-MNIST network's model card: use, data, training, recall. Measurements follow it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model.artifact.load import read_artifact
from model.metrics import Numbers, accuracy, class_figures
from model.training.fashion_mnist.config import Config
from model.training.fashion_mnist.photos import load_photos


@dataclass(frozen=True, slots=True)
class Calibrated:
    """The temperature, and calibration errors, 0..1: of the validation images before and after it, of the test images
    as served."""

    temperature: float
    before: float
    after: float
    tested: float = 0.0


@dataclass(frozen=True, slots=True)
class Training:
    """A finished run: its configuration, the number of its epochs, and its calibration."""

    config: Config
    epochs: int
    calibrated: Calibrated


def describe_model(training: Training, parameters: int, labels: Sequence[str], matrix: Numbers) -> str:
    """Render the head of the card as Markdown; `matrix`: the confusion matrix of the test images."""
    config, calibrated = training.config, training.calibrated
    decay = f", weight decay {config.weight_decay:g}" if config.weight_decay else ""
    mirrored = "; half of them are mirrored" if config.flip else ""
    kept = ""
    if config.average:
        kept = "The network is the mean of the networks at these cycles' ends (Izmailov et al., 2018).\n"
    if config.initial_share:
        share = f"{config.initial_share:g}"
        kept = f"""The network is the mean of the initial one, with a weight of {share}, and of the last one (Wortsman
et al., 2022). Its batch normalization is computed again from the training images.
"""
    recalls = "\n".join(
        f"| {label} | {'-' if figures.recall is None else f'{figures.recall:.1%}'} |"
        for label, figures in zip(labels, class_figures(matrix), strict=True)
    )
    return f"""Recognises ten kinds of clothing in small grey images: a residual network of {parameters:,} parameters.
It gets **{accuracy(matrix):.2%}** right on the {int(matrix.sum()):,} test images of Fashion-MNIST, scored as files
with the served recipe and engine. Written by `python -m model export`.

## Use

For demonstrations, tests and comparisons of this pipeline, and as an example of an artifact. It takes 28x28 grey images
of one garment, light on black, as in the dataset. The recipe in `signature.json` converts other images to this form: it
finds the object on a plain background by its colour, makes the rest black, trims, resizes the longest edge to 28,
sharpens and centres. The network always predicts one of its ten labels, whatever the image shows. Photographs with
people, folds, shadows or busy backgrounds are far from its training data. Not for decisions about people.

## Data

Fashion-MNIST (Xiao, Rasul, Vollgraf, 2017; copyright Zalando SE, MIT licence): product images of one shop.
{config.validation_images:,} of the 60,000 training images were held out for validation (seed {config.seed}). The test
images were used for this card and for the earlier candidates that docs/decisions.md lists; no choice used them.
{_photos(config)}
## Training

{training.epochs} epochs in batches of {config.batch_size}; label smoothing {config.label_smoothing:g}; SGD with
Nesterov momentum {config.momentum:g}{decay}; computed in {config.precision}, exported in float32. In each cycle the
learning rate rises linearly from 0 to its peak in {config.warmup:.0%} of the steps, and falls linearly back to 0.
Images are shifted and lose a square, both in pixels{mirrored}.

{_cycles(config)}

{kept}Made like photographs: rotated, stretched, bent, in a narrow range of greys (`photo_augmentation.py`).
{_teachers(config)}`training/` holds the configuration, the history of each epoch, its plot and the weights.
{config.notes}

## Calibration

A temperature of {calibrated.temperature:.2f}, fitted on the validation images, divides the logits. The expected
calibration error (15 bins) of the network on these images is {calibrated.before:.2%} before and {calibrated.after:.2%}
after. That of the artifact on the test images is {calibrated.tested:.2%}. On photographs, scores are less reliable.

## Recall

| label | recall |
|---|---|
{recalls}

## The artifact"""


def _cycles(config: Config) -> str:
    """The table of the cycles."""
    columns = {
        "epochs of the cycle": [f"{cycle.epochs}" for cycle in config.cycles],
        "peak rate": [f"{cycle.peak_rate:g}" for cycle in config.cycles],
        "shift up to": [f"{cycle.shift}" for cycle in config.cycles],
        "cutout": [f"{cycle.cutout}x{cycle.cutout}" for cycle in config.cycles],
        "made like photographs": [f"{cycle.photolike:.0%}" for cycle in config.cycles],
        "mixed in pairs": [f"{cycle.mixup:.0%}" for cycle in config.cycles],
        "teachers in the targets": [f"{cycle.teacher:.0%}" for cycle in config.cycles],
    }
    rows = [columns, ["---"] * len(columns), *zip(*columns.values(), strict=True)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _photos(config: Config) -> str:
    if not config.photos:
        return "No photograph was used for training.\n"
    return f"""
{config.photos} photographs are added to each batch. They are drawn from {len(load_photos())} of the folder `train` of
the [clothing dataset (small)](https://github.com/alexeygrigorev/clothing-dataset-small) (CC0), cut out by the recipe
(`model/training/fashion_mnist/photos`). For a class of theirs with several right labels, the targets are in proportion
to the teachers' predictions for these labels.
"""


def _teachers(config: Config) -> str:
    if not config.teachers:
        return ""
    taught = [read_artifact(Path(folder)) for folder in config.teachers]
    names = ", ".join(f"{artifact.name} (`{artifact.digest[:19]}`)" for artifact in taught)
    return f"""The teachers' predictions for the augmented images are in the targets: the mean of {names}.
"""
