"""What the card of the Fashion-MNIST network says before the measurements: use, data, training, recall."""

from __future__ import annotations

from collections.abc import Sequence

from model.metrics import Numbers, accuracy, class_figures
from model.training.fashion_mnist.config import Config


def tell_story(config: Config, parameters: int, epochs: int, labels: Sequence[str], matrix: Numbers) -> str:
    """Markdown; `matrix`: the confusion matrix of the test images."""
    decay = f", weight decay {config.weight_decay:g}" if config.weight_decay else ""
    columns = {
        "epochs of the cycle": [f"{cycle.epochs}" for cycle in config.cycles],
        "peak rate": [f"{cycle.peak_rate:g}" for cycle in config.cycles],
        "moved by up to": [f"{cycle.shift}" for cycle in config.cycles],
        "cut out": [f"{cycle.cutout}x{cycle.cutout}" for cycle in config.cycles],
        "made like photos": [f"{cycle.photolike:.0%}" for cycle in config.cycles],
        "own earlier answers in the targets": [f"{cycle.teacher:.0%}" for cycle in config.cycles],
    }
    rows = [columns, ["---"] * len(columns), *zip(*columns.values(), strict=True)]
    cycles = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    mirrored = ", and half of them are mirrored" if config.flip else ""
    kept = "The network is the mean of these cycles' ends (Izmailov et al., 2018).\n" if config.average else ""
    recalls = "\n".join(
        f"| {label} | {'-' if figures.recall is None else f'{figures.recall:.1%}'} |"
        for label, figures in zip(labels, class_figures(matrix), strict=True)
    )
    return f"""Recognises ten kinds of clothing in small gray pictures: a residual network of {parameters:,} parameters,
**{accuracy(matrix):.2%}** right on the {int(matrix.sum()):,} test images of Fashion-MNIST, as files, through the recipe
and the engine that serve. Written by `python -m model export`.

## Use

For demonstrations, tests and comparisons of this pipeline, and as an example of an artifact. It takes 28x28 gray images
of one garment, light on black (the dataset's form), and turns other pictures into that form by the recipe in
`signature.json`: what stands on a plain background found by its colour, the rest made black, trimmed, longest edge
resized to 28, sharpened, centred. It always answers with one of its ten labels, whatever the picture shows, and its
scores are not calibrated. Photographs with people, folds, shadows or busy backgrounds are far from its training data:
expect it to be right on little more than half of them. Not for decisions about people.

## Data

Fashion-MNIST (Xiao, Rasul, Vollgraf, 2017; copyright Zalando SE, MIT licence): product pictures of one shop.
{config.validation_images:,} of the 60,000 training images were held out for validation (seed {config.seed}). The test
images were looked at for this card and for the earlier ends that docs/decisions.md lists; what is shipped was chosen
by validation loss.

## Training

{epochs} epochs in batches of {config.batch_size}; label smoothing {config.label_smoothing:g}; SGD with Nesterov
momentum {config.momentum:g}{decay}; computed in {config.precision}, exported in float32. In each cycle the
learning rate goes from 0 to its peak over {config.warmup:.0%} of the steps and back to 0, in lines.
Images are moved and have a square cut out, in pixels{mirrored}.

{cycles}

{kept}Made like photos: turned, widened, bent, in narrow shades of grey (`photo_augmentation.py`); no photo was
trained on. `training/` holds the configuration, the history of each epoch, its plot and the trained weights.

## Recall

| label | recall |
|---|---|
{recalls}

## The artifact"""
