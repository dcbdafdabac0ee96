"""The head of the Fashion-MNIST network's model card: use, data, training, recall. Measurements follow it."""

from __future__ import annotations

from collections.abc import Sequence

from model.metrics import Numbers, accuracy, class_figures
from model.training.fashion_mnist.config import Config


def describe_model(config: Config, parameters: int, epochs: int, labels: Sequence[str], matrix: Numbers) -> str:
    """Render the head of the card as Markdown; `matrix`: the confusion matrix of the test images."""
    decay = f", weight decay {config.weight_decay:g}" if config.weight_decay else ""
    columns = {
        "epochs of the cycle": [f"{cycle.epochs}" for cycle in config.cycles],
        "peak rate": [f"{cycle.peak_rate:g}" for cycle in config.cycles],
        "shift up to": [f"{cycle.shift}" for cycle in config.cycles],
        "cutout": [f"{cycle.cutout}x{cycle.cutout}" for cycle in config.cycles],
        "made like photographs": [f"{cycle.photolike:.0%}" for cycle in config.cycles],
        "own earlier predictions in the targets": [f"{cycle.teacher:.0%}" for cycle in config.cycles],
    }
    rows = [columns, ["---"] * len(columns), *zip(*columns.values(), strict=True)]
    cycles = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    mirrored = "; half of them are mirrored" if config.flip else ""
    kept = (
        "The network is the mean of the networks at these cycles' ends (Izmailov et al., 2018).\n"
        if config.average
        else ""
    )
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
sharpens and centres. The network always predicts one of its ten labels, whatever the image shows, and its scores are
not calibrated. Photographs with people, folds, shadows or busy backgrounds are far from its training data: expect it
to be right on little more than half of them. Not for decisions about people.

## Data

Fashion-MNIST (Xiao, Rasul, Vollgraf, 2017; copyright Zalando SE, MIT licence): product images of one shop.
{config.validation_images:,} of the 60,000 training images were held out for validation (seed {config.seed}). The test
images were used for this card and for the earlier candidates that docs/decisions.md lists; the shipped network was
chosen by validation loss.

## Training

{epochs} epochs in batches of {config.batch_size}; label smoothing {config.label_smoothing:g}; SGD with Nesterov
momentum {config.momentum:g}{decay}; computed in {config.precision}, exported in float32. In each cycle the
learning rate rises linearly from 0 to its peak in {config.warmup:.0%} of the steps, and falls linearly back to 0.
Images are shifted and lose a square, both in pixels{mirrored}.

{cycles}

{kept}Made like photographs: rotated, stretched, bent, in a narrow range of greys (`photo_augmentation.py`); no
photograph was used for training. `training/` holds the configuration, the history of each epoch, its plot and the
weights.

## Recall

| label | recall |
|---|---|
{recalls}

## The artifact"""
