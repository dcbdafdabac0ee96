"""MODEL_CARD.md: what the model is, how it was made, what was measured. Every number comes from the export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from model.training.config import Config
from model.training.gate import MARGIN, MAX_DROP, MIN_AGREEMENT, Candidate
from model.training.measure import BATCHES, THREADS, Parity, Speed


@dataclass(frozen=True, slots=True)
class Facts:
    """What export measured. Shares are 0..1; `size` is the files' bytes; engines stand fastest first; `served` is the
    variant in model.tflite."""

    digest: str
    parameters: int
    size: int
    accuracy: float
    recall: Mapping[str, float | None]
    test_images: int
    speeds: Mapping[str, Speed]
    parities: Mapping[str, Parity]
    candidates: Sequence[Candidate]
    served: str
    machine: str
    versions: str


def render_card(config: Config, facts: Facts, epochs: int) -> str:
    """The card as Markdown."""
    recalls = "\n".join(
        f"| {label} | {'-' if share is None else f'{share:.1%}'} |" for label, share in facts.recall.items()
    )
    engines = "\n".join(
        f"| {name} | {speed.cold_start_s:.2f} s | {speed.single:,.0f} | {speed.batched:,.0f} "
        f"| {facts.parities[name].disagreement:.2%} | {facts.parities[name].max_difference:.1e} |"
        for name, speed in facts.speeds.items()
    )
    changes = f"shifts of up to {config.shift} pixels"
    changes += ", mirror images" if config.flip else ""
    changes += f", {config.cutout}x{config.cutout} cut-outs" if config.cutout else ""
    rounds = len(facts.candidates[0].speed.rounds)
    decay = f", weight decay {config.weight_decay:g}" if config.weight_decay else ""
    cycles = "\n".join(
        f"| {cycle.epochs} | {cycle.peak_rate:g} | {cycle.photolike:.0%} | {cycle.teacher:.0%} |"
        for cycle in config.cycles
    )
    kept = "The network is the mean of these cycles' ends (Izmailov et al., 2018).\n" if config.average else ""
    return f"""# {config.name} {config.version}

Recognises ten kinds of clothing in small gray pictures: a residual network of {facts.parameters:,} parameters,
**{facts.accuracy:.2%}** right on the {facts.test_images:,} test images of Fashion-MNIST.

Written by `python -m model export`; digest `{facts.digest}`.

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
images were used for this card alone; no choice was made by looking at them.

## Training

{epochs} epochs in batches of {config.batch_size}; {changes}; label smoothing {config.label_smoothing:g}; SGD with
Nesterov momentum {config.momentum:g}{decay}; computed in {config.precision}, exported in float32. In each cycle the
learning rate goes from 0 to its peak over {config.warmup:.0%} of the steps and back to 0, in lines.

| epochs of the cycle | peak rate | images made like photos | own earlier answers in the targets |
|---|---|---|---|
{cycles}

{kept}Made like photos: turned, widened, bent, in narrow shades of grey (`model/training/photolike.py`); no photo was
trained on. `training/` holds the configuration, the history of each epoch, its plot and the trained weights.

## Measured

| label | recall |
|---|---|
{recalls}

| engine | cold start | images/s, batch 1 | images/s, batch 32 | other best label | largest score difference |
|---|---|---|---|---|---|
{engines}

Engines stand in the order of the geometric mean of both rates. The last two columns compare with the trained network
in Keras on all test images. Files: {facts.size / 1e6:.1f} MB.

## Compression

`model.tflite` is the fastest form whose best label is the trained network's on at least {MIN_AGREEMENT:.1%} of the
{config.validation_images:,} validation images, and whose accuracy there is at most {100 * MAX_DROP:g} points lower;
a simpler form, higher in the table, is preferred when the difference of speed is within noise.

{_compression(facts)}

Cold start: process start to first score, verification of the files included. Memory: the most that the process held.
Images per second by images of a call; two threads share each call. Each figure is the median of {rounds} processes,
in turns with those of the other forms. Noise is {MARGIN:.0%}, or twice what the ratio of two forms' speeds typically
strays from its median over these rounds.
Machine: {facts.machine}. Software: {facts.versions}.
"""


def _compression(facts: Facts) -> str:
    """A row for each form, the served one in bold."""
    rates = [(threads, batch) for threads in THREADS for batch in BATCHES]
    headings = [f"{batch}" if threads == 1 else f"{batch}, {threads} threads" for threads, batch in rates]
    lines = [
        "| form | agreement | drop, points | MB | cold start | memory, MB | images/s at " + " | ".join(headings) + " |",
        "|---" * (6 + len(rates)) + "|",
    ]
    for candidate in facts.candidates:
        speed, served = candidate.speed, candidate.variant == facts.served
        name = f"**{candidate.variant}**, served" if served else candidate.variant
        cells = [
            name if candidate.passes else f"{name}, does not pass",
            f"{candidate.agreement:.2%}",
            f"{100 * candidate.drop:.2f}",
            f"{candidate.size / 1e6:.2f}",
            f"{speed.cold_start_s:.2f} s",
            f"{speed.memory / 1e6:.0f}",
            *(f"{speed.rates[rate]:,.0f}" for rate in rates),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
